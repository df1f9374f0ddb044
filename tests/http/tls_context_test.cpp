#include "server/http/tls_context.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/tls_files.hpp"

#include <fstream>

using namespace sema;
using namespace sema::test;
using http::read_tls_files;
using http::TlsFiles;

namespace {

std::string in(const TempDir& folder, const std::string& name) {
    return (folder.path() / name).string();
}

std::string write(const TempDir& folder, const std::string& name, const std::string& text) {
    std::ofstream(folder.path() / name) << text;
    return in(folder, name);
}

void openssl(std::vector<std::string> words) {
    words.insert(words.begin(), "openssl");
    REQUIRE(run_program(std::move(words)).status == 0);
}

std::string refusal(const TlsFiles& files) {
    const auto loaded = read_tls_files(files);
    REQUIRE_FALSE(loaded);
    return loaded.error().message;
}

}  // namespace

TEST_CASE("a certificate and its key are loaded, with nothing to warn of") {
    const TempDir folder;
    const auto [certificate, key] = make_certificate(folder.path(), "semad");
    const auto tls = read_tls_files({certificate, key, certificate});
    REQUIRE(tls);
    CHECK(tls->settings);
    CHECK(tls->warnings.empty());
}

TEST_CASE("what is wrong with the files of TLS is said by the file's name, and why") {
    const TempDir folder;
    const auto [certificate, key] = make_certificate(folder.path(), "semad");
    const auto [other_certificate, other_key] = make_certificate(folder.path(), "other");
    const std::string absent = in(folder, "absent.pem");
    const std::string nonsense = write(folder, "nonsense.pem", "nonsense\n");
    const std::string damaged =
        write(folder, "damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    const std::string encrypted = in(folder, "encrypted.key");
    openssl({"pkey", "-in", key, "-aes256", "-passout", "pass:seat", "-out", encrypted});
    const std::string rsa = in(folder, "rsa.key");
    openssl({"genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", rsa});
    const std::string misfit = "it does not fit the certificate in " + certificate;

    CHECK(refusal({absent, key, ""}) ==
          "cannot take the certificate from " + absent + ": No such file or directory");
    CHECK(refusal({folder.path().string(), key, ""}) ==
          "cannot take the certificate from " + folder.path().string() + ": Is a directory");
    for (const std::string& file : {nonsense, key}) {
        CHECK(refusal({file, key, ""}) ==
              "cannot take the certificate from " + file + ": there is no certificate in it, in PEM");
    }
    CHECK(refusal({damaged, key, ""}).rfind("cannot take the certificate from " + damaged + ": ", 0) == 0);
    CHECK(refusal({certificate, absent, ""}) ==
          "cannot take the key from " + absent + ": No such file or directory");
    CHECK(refusal({certificate, certificate, ""}) ==
          "cannot take the key from " + certificate + ": there is no key in it, in PEM");
    CHECK(refusal({certificate, encrypted, ""}) == "cannot take the key from " + encrypted +
                                                       ": it is encrypted (openssl pkey -in " + encrypted +
                                                       " decrypts it)");
    CHECK(refusal({certificate, other_key, ""}) == "cannot take the key from " + other_key + ": " + misfit);
    CHECK(refusal({certificate, rsa, ""}) == "cannot take the key from " + rsa + ": " + misfit);
    CHECK(refusal({certificate, key, absent}) ==
          "cannot take the clients' authorities from " + absent + ": No such file or directory");
    CHECK(refusal({certificate, key, nonsense}) == "cannot take the clients' authorities from " + nonsense +
                                                       ": there is no certificate in it, in PEM");
}

TEST_CASE("an expired certificate is taken, and warned of") {
    const TempDir folder;
    const auto [certificate, key] = make_expired_certificate(folder.path());
    const auto tls = read_tls_files({certificate, key, ""});
    REQUIRE(tls);
    REQUIRE(tls->warnings.size() == 1);
    CHECK(tls->warnings.front() ==
          "the certificate in " + certificate + " expired on 2020-02-01: clients will refuse it");
}
