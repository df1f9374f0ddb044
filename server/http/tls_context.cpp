#include "server/http/tls_context.hpp"

#include "server/regular_file.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <array>
#include <ctime>
#include <utility>

namespace sema::http {
namespace {

struct FreeNames {
    void operator()(STACK_OF(X509_NAME) * names) const { sk_X509_NAME_pop_free(names, X509_NAME_free); }
};

// Those of TLS 1.2: only ones with forward secrecy and authenticated encryption.
constexpr const char* ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

// One of these is in a client's list, where it has one (RFC 7301).
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned offered_size, void*) {
    static constexpr std::array<unsigned char, 18> known = {8, 'h', 't', 't', 'p', '/', '1', '.', '1',
                                                            8, 'h', 't', 't', 'p', '/', '1', '.', '0'};
    unsigned char* found = nullptr;
    const int done = SSL_select_next_proto(&found, size, known.data(), known.size(), offered, offered_size);
    *chosen = found;
    return done == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Nobody is there to be asked.
int note_question(char*, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
}

TlsSettings new_settings() {
    TlsSettings settings(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    if (!settings) return settings;
    SSL_CTX* const context = settings.get();
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    // An end without a farewell is as good as one with it: HTTP itself shows whether a message is whole.
    SSL_CTX_set_options(context,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    // A waiting connection holds no buffers.
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    // A client that sends nothing but messages about keys does not keep the thread.
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    // One call of the system for a record instead of two.
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_cipher_list(context, ciphers);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
    // Sessions are resumed from the client's ticket, so none is cached here.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    constexpr std::array<unsigned char, 5> name = {'s', 'e', 'm', 'a', 'd'};
    SSL_CTX_set_session_id_context(context, name.data(), name.size());
    return settings;
}

// What OpenSSL says of the last failure.
struct Complaint {
    /// In words, for a file that was to hold a `thing`.
    std::string reason;
    bool is_misfit = false;
};

Complaint complaint(const std::string& thing) {
    Complaint found{"it is no " + thing + " in PEM"};
    // The first one says most.
    const char* const words = ERR_reason_error_string(ERR_peek_error());
    if (words) found.reason = words;
    while (const unsigned long number = ERR_get_error()) {
        const bool is_absent =
            ERR_GET_LIB(number) == ERR_LIB_PEM && ERR_GET_REASON(number) == PEM_R_NO_START_LINE;
        if (is_absent || ERR_GET_LIB(number) == ERR_LIB_OSSL_DECODER)
            found.reason = "there is no " + thing + " in it, in PEM";
        if (ERR_GET_LIB(number) == ERR_LIB_X509) found.is_misfit = true;
    }
    return found;
}

// A day of the calendar, in UTC.
std::string day(const ASN1_TIME* time) {
    std::tm parts{};
    std::array<char, 16> text{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unknown day";
    std::strftime(text.data(), text.size(), "%Y-%m-%d", &parts);
    return text.data();
}

// What is wrong with the certificate's time; empty where nothing is.
std::string time_warning(const X509* certificate, const std::string& file) {
    const ASN1_TIME* const begin = X509_get0_notBefore(certificate);
    const ASN1_TIME* const end = X509_get0_notAfter(certificate);
    if (X509_cmp_current_time(end) < 0)
        return "the certificate in " + file + " expired on " + day(end) + ": clients will refuse it";
    if (X509_cmp_current_time(begin) > 0)
        return "the certificate in " + file + " is not valid before " + day(begin) +
               ": clients will refuse it";
    return "";
}

}  // namespace

TlsContext::TlsContext(TlsSettings settings) : settings_(std::move(settings)) {}

void TlsContext::replace(TlsSettings settings) {
    const MutexLock lock(mutex_);
    settings_ = std::move(settings);
}

TlsSettings TlsContext::settings() const {
    const MutexLock lock(mutex_);
    return settings_;
}

Expected<LoadedTls> read_tls_files(const TlsFiles& files) {
    const TlsSettings settings = new_settings();
    if (!settings) return failure("OpenSSL does not let TLS begin");
    SSL_CTX* const context = settings.get();
    const auto refuse = [](const std::string& lead, const char* what, const std::string& file,
                           const std::string& why) {
        return failure(lead + "cannot take the " + what + " from " + file + ": " + why);
    };
    ERR_clear_error();

    // OpenSSL does not report the system's reasons as such.
    if (const auto readable = check_regular_file(files.certificate); !readable)
        return refuse(files.leads.certificate, "certificate", files.certificate, readable.error().message);
    if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1)
        return refuse(files.leads.certificate, "certificate", files.certificate,
                      complaint("certificate").reason);

    if (const auto readable = check_regular_file(files.key); !readable)
        return refuse(files.leads.key, "key", files.key, readable.error().message);
    bool is_encrypted = false;
    SSL_CTX_set_default_passwd_cb(context, note_question);
    SSL_CTX_set_default_passwd_cb_userdata(context, &is_encrypted);
    const bool has_key = SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
    if (is_encrypted) {
        ERR_clear_error();
        return refuse(files.leads.key, "key", files.key,
                      "it is encrypted (openssl pkey -in " + files.key + " decrypts it)");
    }
    const Complaint about_key = complaint("key");
    if (!has_key && !about_key.is_misfit) return refuse(files.leads.key, "key", files.key, about_key.reason);
    // A key of another kind than the certificate's is only found out here.
    if (!has_key || SSL_CTX_check_private_key(context) != 1) {
        ERR_clear_error();
        return refuse(files.leads.key, "key", files.key,
                      "it does not fit the certificate in " + files.certificate);
    }

    LoadedTls loaded{settings, {}};
    const auto warn = [&loaded](const std::string& warning) {
        if (!warning.empty()) loaded.warnings.push_back(warning);
    };
    warn(time_warning(SSL_CTX_get0_certificate(context), files.certificate));

    if (files.client_ca.empty()) return loaded;
    constexpr const char* authorities = "clients' authorities";
    if (const auto readable = check_regular_file(files.client_ca); !readable)
        return refuse(files.leads.client_ca, authorities, files.client_ca, readable.error().message);
    std::unique_ptr<STACK_OF(X509_NAME), FreeNames> names(SSL_load_client_CA_file(files.client_ca.c_str()));
    if (!names || SSL_CTX_load_verify_locations(context, files.client_ca.c_str(), nullptr) != 1)
        return refuse(files.leads.client_ca, authorities, files.client_ca, complaint("certificate").reason);
    // An authority in the file is one, also where it was issued by another one.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_client_CA_list(context, names.release());
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    return loaded;
}

}  // namespace sema::http
