#include "cli/transfer_trouble.hpp"

namespace sema {
namespace {

// What is wrong with a certificate has no code of its own: `SSL certificate problem: certificate has
// expired`.
std::string distrust(const std::string& details) {
    const std::string separator = ": ";
    const auto at = details.find(separator);
    return "its certificate is not to be trusted" +
           (at == std::string::npos ? "" : " (" + details.substr(at + separator.size()) + ")");
}

}  // namespace

std::string describe_trouble(CURLcode code, const std::string& details) {
    switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
            return "no host of that name was found";
        case CURLE_COULDNT_RESOLVE_PROXY:
            return "the proxy was not found";
        case CURLE_SSL_CONNECT_ERROR:
            return "it speaks no TLS, or none that is understood here (write http:// for plain HTTP)";
        case CURLE_PEER_FAILED_VERIFICATION:
            return distrust(details);
        case CURLE_SSL_CACERT_BADFILE:
            return "the file of trusted certificates cannot be read";
        case CURLE_SSL_CERTPROBLEM:
            return "the certificate to be shown to it cannot be used";
        default:
            return "the transfer failed (libcurl's number " + std::to_string(code) + ")";
    }
}

}  // namespace sema
