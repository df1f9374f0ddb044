#include "tests/support/tls_files.hpp"

#include "tests/support/program.hpp"

#include <fstream>
#include <stdexcept>
#include <utility>
#include <vector>

namespace sema::test {
namespace {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;

constexpr const char* local_names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2,IP:::1";

void openssl(Words words, const std::string& directory = "") {
    words.insert(words.begin(), "openssl");
    ProgramOptions options;
    options.directory = directory;
    const Finished run = run_program(std::move(words), std::move(options));
    if (run.status != 0) throw std::runtime_error("openssl failed: " + run.err);
}

CertificateFiles files_of(const fs::path& folder, const std::string& name) {
    return {(folder / (name + ".pem")).string(), (folder / (name + ".key")).string()};
}

CertificateFiles request(const CertificateFiles& files, const std::string& name, const Words& more) {
    Words words = {"req",     "-x509",       "-newkey",
                   "ec",      "-pkeyopt",    "ec_paramgen_curve:P-256",
                   "-nodes",  "-days",       "2",
                   "-subj",   "/CN=" + name, "-keyout",
                   files.key, "-out",        files.certificate};
    words.insert(words.end(), more.begin(), more.end());
    openssl(std::move(words));
    return files;
}

}  // namespace

TestAuthority::TestAuthority(fs::path folder, std::string name)
    : folder_(std::move(folder)), own_(request(files_of(folder_, name), name, {})) {}

TestAuthority::TestAuthority(fs::path folder, CertificateFiles own)
    : folder_(std::move(folder)), own_(std::move(own)) {}

TestAuthority TestAuthority::delegate(const std::string& name) const {
    return {folder_, request(files_of(folder_, name), name, {"-CA", own_.certificate, "-CAkey", own_.key})};
}

CertificateFiles TestAuthority::issue(const std::string& name) const {
    return request(files_of(folder_, name), name,
                   {"-CA", own_.certificate, "-CAkey", own_.key, "-addext", local_names, "-addext",
                    "basicConstraints=critical,CA:FALSE"});
}

CertificateFiles make_certificate(const fs::path& folder, const std::string& name) {
    return request(files_of(folder, name), name, {"-addext", local_names});
}

// Only openssl ca takes a time that is over.
CertificateFiles make_expired_certificate(const fs::path& folder) {
    const CertificateFiles files = files_of(folder, "expired");
    openssl({"req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
             "/CN=expired", "-keyout", files.key, "-out", (folder / "expired.csr").string()});
    std::ofstream(folder / "index");
    std::ofstream(folder / "ca.cnf") << "[ca]\ndefault_ca = it\n[it]\ndatabase = index\nrand_serial = yes\n"
                                        "new_certs_dir = .\ndefault_md = sha256\npolicy = any\n"
                                        "[any]\ncommonName = supplied\n";
    openssl(
        {"ca", "-batch", "-config", "ca.cnf", "-selfsign", "-keyfile", "expired.key", "-in", "expired.csr",
         "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-notext", "-out", "expired.pem"},
        folder.string());
    return files;
}

}  // namespace sema::test
