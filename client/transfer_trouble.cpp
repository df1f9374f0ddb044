#include "client/transfer_trouble.hpp"

#include <algorithm>
#include <initializer_list>
#include <string_view>

namespace sema {
namespace {

bool has_one_of(std::string_view text, std::initializer_list<std::string_view> parts) {
    return std::any_of(parts.begin(), parts.end(),
                       [text](std::string_view part) { return text.find(part) != text.npos; });
}

// What is wrong with a certificate has no code of its own: `SSL certificate problem: certificate has
// expired`.
std::string distrust(const std::string& details, const TlsFiles& files) {
    if (has_one_of(details, {"subject name", "common name"}))
        return "its certificate is for other names than the one in its address";
    const std::string separator = ": ";
    const auto at = details.find(separator);
    const std::string why = at == std::string::npos ? "" : details.substr(at + separator.size());
    if (!has_one_of(why, {"issuer", "self-signed", "self signed"}))
        return "its certificate is not to be trusted" + (why.empty() ? "" : " (" + why + ")");
    return "its certificate is of no authority that is trusted (" + why + "; " +
           (files.authorities.empty() ? std::string(files.authorities_option) + " names those to trust"
                                      : files.authorities + " has those that are") +
           ")";
}

// Of `...: tlsv1 alert unknown ca, errno 0`.
std::string alert_of(const std::string& details) {
    const std::string word = "alert ";
    const auto begin = details.find(word) + word.size();
    return details.substr(begin, details.find(',', begin) - begin);
}

}  // namespace

std::string describe_trouble(CURLcode code, const std::string& details, const TlsFiles& files) {
    switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
            return "no host of that name was found";
        case CURLE_COULDNT_RESOLVE_PROXY:
            return "the proxy was not found";
        case CURLE_SSL_CONNECT_ERROR:
            return "the TLS handshake was broken off";
        case CURLE_PEER_FAILED_VERIFICATION:
            return distrust(details, files);
        case CURLE_SSL_CACERT_BADFILE:
            return files.authorities.empty() ? "the system's file of trusted certificates cannot be read"
                                             : files.authorities + " has no certificate in PEM";
        case CURLE_SSL_CERTPROBLEM:
            return files.certificate + " and " + (files.key.empty() ? "the key in it" : files.key) +
                   " are no certificate and its key in PEM, or the key has a password";
        default:
            return "the transfer failed (libcurl's number " + std::to_string(code) + ")";
    }
}

// The texts are OpenSSL's, and in English everywhere.
std::optional<std::string> disagreement(CURLcode code, const std::string& details, const TlsFiles& files) {
    const std::string advice = " (" + std::string(files.pair_options) + " name ours)";
    const std::string asks = "asks for a certificate of its clients" + advice;
    switch (code) {
        case CURLE_PEER_FAILED_VERIFICATION:
            return "cannot be trusted: " + distrust(details, files);
        case CURLE_SSL_CLIENTCERT:
            return asks;
        // With TLS 1.3 the server looks at the client's certificate when that takes itself to be connected.
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
            break;
        default:
            return std::nullopt;
    }
    if (has_one_of(details, {"wrong version number", "packet length too long", "http request",
                             "record layer failure"}))
        return "speaks no TLS (write http:// for plain HTTP)";
    if (has_one_of(details, {"alert protocol version", "unsupported protocol"}))
        return "speaks no version of TLS that is understood here";
    if (has_one_of(details, {"alert certificate required"})) return asks;
    if (has_one_of(details, {"alert bad certificate", "alert certificate", "alert unsupported certificate",
                             "alert unknown ca", "alert access denied"}))
        return files.certificate.empty()
                   ? asks
                   : "does not take the certificate " + files.certificate + " (" + alert_of(details) + ")";
    if (has_one_of(details, {"alert handshake failure"}))
        return files.certificate.empty()
                   ? "refuses the TLS handshake: it may ask for a certificate of its clients" + advice
                   : "refuses the TLS handshake";
    return std::nullopt;
}

}  // namespace sema
