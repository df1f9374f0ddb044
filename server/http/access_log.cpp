#include "server/http/access_log.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <string_view>

namespace sema::http {
namespace {

using std::chrono::system_clock;

// Formatted once a second: the C library takes a lock for it, for all threads.
class SecondText {
  public:
    SecondText(const char* format, std::tm* (*split)(const std::time_t*, std::tm*))
        : format_(format), split_(split) {}

    const std::string& of(std::time_t second) {
        if (second != second_) {
            std::tm parts{};
            split_(&second, &parts);
            std::array<char, 40> text{};
            text_.assign(text.data(), std::strftime(text.data(), text.size(), format_, &parts));
            second_ = second;
        }
        return text_;
    }

  private:
    const char* const format_;
    std::tm* (*const split_)(const std::time_t*, std::tm*);
    std::time_t second_ = -1;
    std::string text_;
};

// `number`, of which `1,000,000` are one, with all its digits.
std::string millionths(std::int64_t number) {
    std::string fraction = std::to_string(number % 1'000'000);
    fraction.insert(0, 6 - fraction.size(), '0');
    return std::to_string(number / 1'000'000) + "." + fraction;
}

std::string seconds(std::chrono::steady_clock::duration time) {
    return millionths(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

std::string status_text(int status, const char* none) {
    return status == 0 ? none : std::to_string(status);
}

}  // namespace

void AccessLog::turn_on(Form form) {
    form_ = form;
    is_on_ = true;
}

void AccessLog::add(const Access& access) const {
    const auto now = system_clock::now();
    write_(form_ == Form::json ? json(access, now) : text(access, now));
}

std::string AccessLog::text(const Access& access, system_clock::time_point now) const {
    thread_local SecondText second("%Y-%m-%d %H:%M:%S", localtime_r);
    const auto millis =
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
    std::string fraction = std::to_string(millis);
    fraction.insert(0, 3 - fraction.size(), '0');
    std::string line = second.of(system_clock::to_time_t(now)) + "." + fraction + " access: " + access.client;
    for (const std::string& word :
         {std::string(name_of(access.call)), access.pool ? hash_.of(*access.pool) : "-",
          status_text(access.status, "-"), seconds(access.time), std::to_string(access.bytes)}) {
        line += ' ';
        line += word;
    }
    return line + "\n";
}

// None of the texts has a character that JSON writes otherwise.
std::string AccessLog::json(const Access& access, system_clock::time_point now) const {
    thread_local SecondText second("%Y-%m-%dT%H:%M:%SZ", gmtime_r);
    const std::string call(name_of(access.call));
    std::string line = R"({"time":")" + second.of(system_clock::to_time_t(now)) +
                       R"(","level":"access","message":")" + call + " " + status_text(access.status, "-") +
                       R"(","client":")" + access.client + R"(","call":")" + call + R"(","pool":)";
    line += access.pool ? '"' + hash_.of(*access.pool) + '"' : "null";
    line += R"(,"status":)" + status_text(access.status, "null") + R"(,"seconds":)" + seconds(access.time) +
            R"(,"bytes":)" + std::to_string(access.bytes) + "}\n";
    return line;
}

std::string client_text(const sockaddr& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (address.sa_family == AF_INET) {
        const auto& ip = reinterpret_cast<const sockaddr_in&>(address);
        inet_ntop(AF_INET, &ip.sin_addr, text.data(), text.size());
        return std::string(text.data()) + ":" + std::to_string(ntohs(ip.sin_port));
    }
    if (address.sa_family == AF_INET6) {
        const auto& ip = reinterpret_cast<const sockaddr_in6&>(address);
        inet_ntop(AF_INET6, &ip.sin6_addr, text.data(), text.size());
        return "[" + std::string(text.data()) + "]:" + std::to_string(ntohs(ip.sin6_port));
    }
    return address.sa_family == AF_UNIX ? "unix" : "-";
}

}  // namespace sema::http
