#include "client/transfer_trouble.hpp"

#include "tests/support/catch.hpp"

using namespace sema;

// What libcurl and OpenSSL say, as they say it.

namespace {

const TlsFiles none;
const TlsFiles ours{"/etc/ca.pem", "/etc/me.pem", "/etc/me.key"};

std::string told(CURLcode code, const std::string& details, const TlsFiles& files = none) {
    return disagreement(code, details, files).value_or("nothing");
}

std::string alert(const std::string& what) {
    return "OpenSSL SSL_read: OpenSSL/3.0.19: error:0A00045C:SSL routines::" + what + ", errno 0";
}

}  // namespace

TEST_CASE("a certificate that is not trusted is told from one for another name and one that is over") {
    const std::string unknown = "SSL certificate problem: unable to get local issuer certificate";
    CHECK(told(CURLE_PEER_FAILED_VERIFICATION, unknown) ==
          "cannot be trusted: its certificate is of no authority that is trusted (unable to get local issuer "
          "certificate; --cacert FILE names those to trust)");
    CHECK(told(CURLE_PEER_FAILED_VERIFICATION, unknown, ours) ==
          "cannot be trusted: its certificate is of no authority that is trusted (unable to get local issuer "
          "certificate; /etc/ca.pem has those that are)");
    CHECK(told(CURLE_PEER_FAILED_VERIFICATION, "SSL certificate problem: certificate has expired") ==
          "cannot be trusted: its certificate is not to be trusted (certificate has expired)");
    CHECK(told(CURLE_PEER_FAILED_VERIFICATION,
               "SSL: no alternative certificate subject name matches target host name '127.0.0.3'") ==
          "cannot be trusted: its certificate is for other names than the one in its address");
}

TEST_CASE("what names the files is called as the caller calls it") {
    TlsFiles library;
    library.authorities_option = "client_options::ca_file";
    library.pair_options = "client_options::certificate_file and key_file";
    CHECK(told(CURLE_PEER_FAILED_VERIFICATION, "SSL certificate problem: self-signed certificate", library) ==
          "cannot be trusted: its certificate is of no authority that is trusted (self-signed certificate; "
          "client_options::ca_file names those to trust)");
    CHECK(told(CURLE_SSL_CLIENTCERT, "", library) ==
          "asks for a certificate of its clients (client_options::certificate_file and key_file name ours)");
}

TEST_CASE("a server that asks for a certificate is told from one that does not take ours") {
    const std::string asks = "asks for a certificate of its clients (--cert and --key name ours)";
    CHECK(told(CURLE_RECV_ERROR, alert("tlsv13 alert certificate required")) == asks);
    CHECK(told(CURLE_SSL_CLIENTCERT, "") == asks);
    CHECK(told(CURLE_SSL_CONNECT_ERROR, alert("sslv3 alert bad certificate")) == asks);
    CHECK(told(CURLE_RECV_ERROR, alert("tlsv1 alert unknown ca"), ours) ==
          "does not take the certificate /etc/me.pem (unknown ca)");
    CHECK(told(CURLE_SEND_ERROR, alert("sslv3 alert certificate expired"), ours) ==
          "does not take the certificate /etc/me.pem (certificate expired)");
    const std::string refused = "error:0A000410:SSL routines::sslv3 alert handshake failure";
    CHECK(told(CURLE_SSL_CONNECT_ERROR, refused) ==
          "refuses the TLS handshake: it may ask for a certificate of its clients (--cert and --key name "
          "ours)");
    CHECK(told(CURLE_SSL_CONNECT_ERROR, refused, ours) == "refuses the TLS handshake");
}

TEST_CASE("a server without TLS is told from a handshake that is cut off, which passes") {
    CHECK(told(CURLE_SSL_CONNECT_ERROR, "error:0A00010B:SSL routines::wrong version number") ==
          "speaks no TLS (write http:// for plain HTTP)");
    CHECK(told(CURLE_SSL_CONNECT_ERROR, "error:0A0000C6:SSL routines::packet length too long") ==
          "speaks no TLS (write http:// for plain HTTP)");
    CHECK(told(CURLE_SSL_CONNECT_ERROR, "error:0A00042E:SSL routines::tlsv1 alert protocol version") ==
          "speaks no version of TLS that is understood here");
    for (const char* passing : {"OpenSSL SSL_connect: Connection reset by peer in connection to 127.0.0.1:1 ",
                                "OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to 127.0.0.1:1 ",
                                "error:0A000126:SSL routines::unexpected eof while reading"}) {
        CHECK(told(CURLE_SSL_CONNECT_ERROR, passing) == "nothing");
        CHECK(describe_trouble(CURLE_SSL_CONNECT_ERROR, passing, none) == "the TLS handshake was broken off");
    }
    CHECK(told(CURLE_RECV_ERROR, "Recv failure: Connection reset by peer") == "nothing");
    CHECK(told(CURLE_OPERATION_TIMEDOUT, "Connection timed out after 5000 milliseconds") == "nothing");
}

TEST_CASE("files that are of no use are named") {
    CHECK(describe_trouble(CURLE_SSL_CACERT_BADFILE, "", ours) == "/etc/ca.pem has no certificate in PEM");
    CHECK(describe_trouble(CURLE_SSL_CERTPROBLEM, "", ours) ==
          "/etc/me.pem and /etc/me.key are no certificate and its key in PEM, or the key has a password");
    CHECK_THAT(describe_trouble(CURLE_SSL_CERTPROBLEM, "", {"", "/etc/me.pem", ""}),
               test::has_text("/etc/me.pem and the key in it are no"));
}
