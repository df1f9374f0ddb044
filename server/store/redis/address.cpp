#include "server/store/redis/address.hpp"

#include "server/store/shared/numbers.hpp"

#include <optional>
#include <utility>

namespace sema {
namespace {

constexpr std::uint16_t redis_port = 6379;
constexpr std::uint16_t sentinel_port = 26379;

struct Scheme {
    std::string_view prefix;
    RedisAddress::Way way;
    /// Shown where an address is malformed.
    const char* form;
};

constexpr Scheme schemes[] = {
    {"redis://", RedisAddress::Way::tcp, "redis://HOST[:PORT][/DATABASE]"},
    {"rediss://", RedisAddress::Way::tls, "rediss://HOST[:PORT][/DATABASE][?ca=FILE]"},
    {"redis+unix://", RedisAddress::Way::unix_socket, "redis+unix:///PATH[?db=DATABASE]"},
    {"redis+sentinel://", RedisAddress::Way::sentinel,
     "redis+sentinel://HOST[:PORT][,HOST[:PORT]...]/MASTER[/DATABASE]"},
};

const Scheme* scheme_of(std::string_view url) {
    for (const Scheme& scheme : schemes) {
        if (url.substr(0, scheme.prefix.size()) == scheme.prefix) return &scheme;
    }
    return nullptr;
}

const Scheme& scheme_of(RedisAddress::Way way) {
    for (const Scheme& scheme : schemes) {
        if (scheme.way == way) return scheme;
    }
    return schemes[0];
}

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string decoded;
    while (!text.empty()) {
        const bool is_code = text.front() == '%';
        const auto code = is_code ? shared::parse_number<std::uint16_t>(text.substr(1, 2), 16) : std::nullopt;
        if (is_code && (!code || text.size() < 3)) return std::nullopt;
        decoded += is_code ? static_cast<char>(*code) : text.front();
        text.remove_prefix(is_code ? 3 : 1);
    }
    return decoded;
}

// The inverse of percent_decoded(); only characters that cannot stand for themselves are changed.
std::string percent_encoded(std::string_view text) {
    constexpr const char* digits = "0123456789ABCDEF";
    std::string encoded;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte <= ' ' || byte >= 0x7f || c == '%' || c == '?' || c == '@' || c == '#') {
            encoded += {'%', digits[byte / 16], digits[byte % 16]};
        } else {
            encoded += c;
        }
    }
    return encoded;
}

// Takes the text before the first of that sign off `rest`, and the sign itself.
std::string_view cut(std::string_view& rest, char sign) {
    const auto at = rest.find(sign);
    const std::string_view before = rest.substr(0, at);
    rest = at == rest.npos ? "" : rest.substr(at + 1);
    return before;
}

/// Reads what follows the scheme. Each step takes its part off `rest`, and returns what is wrong with it.
class Parser {
  public:
    using Wrong = std::optional<std::string>;

    Parser(const Scheme& scheme, std::string_view rest) : scheme_(scheme), rest_(rest) {
        address_.way = scheme.way;
    }

    Expected<RedisAddress> parse() {
        Wrong wrong = take_query();
        if (!wrong) wrong = take_credentials();
        if (!wrong) {
            if (address_.way == RedisAddress::Way::unix_socket) {
                wrong = take_path();
            } else {
                wrong = take_hosts_and_rest();
            }
        }
        if (!wrong) return std::move(address_);
        return failure("the store's URL " + std::string(scheme_.prefix) + "... " + *wrong + ": write " +
                       scheme_.form + " (with USER:PASSWORD@ before it where one is needed)");
    }

  private:
    // An @ may stand in a password as it is, and in the query's file name.
    Wrong take_query() {
        auto mark = rest_.rfind(address_.way == RedisAddress::Way::unix_socket ? "?db=" : "?ca=");
        if (mark == rest_.npos) {
            const auto at = rest_.rfind('@');
            mark = rest_.find('?', at == rest_.npos ? 0 : at);
        }
        if (mark == rest_.npos) return std::nullopt;
        std::string_view value = rest_.substr(mark + 1);
        rest_ = rest_.substr(0, mark);
        const std::string_view name = cut(value, '=');
        if (name == "db" && address_.way == RedisAddress::Way::unix_socket) return take_database(value);
        if (name == "ca" && address_.way == RedisAddress::Way::tls) {
            const auto file = percent_decoded(value);
            if (!file || file->empty()) return "names no file after ?ca=";
            address_.ca_file = *file;
            return std::nullopt;
        }
        return "has a ?query that is not known";
    }

    Wrong take_credentials() {
        const auto at = rest_.rfind('@');
        if (at == rest_.npos) return std::nullopt;
        std::string_view after = rest_.substr(0, at);
        rest_ = rest_.substr(at + 1);
        const auto user = percent_decoded(cut(after, ':'));
        const auto password = percent_decoded(after);
        if (!user || !password) return "has a % before the @ that no two hex digits follow (write %25)";
        address_.user = *user;
        address_.password = *password;
        return std::nullopt;
    }

    Wrong take_path() {
        const auto path = percent_decoded(rest_);
        if (!path || path->size() < 2 || path->front() != '/') return "names no socket by its full path";
        // What the system's address of a socket has room for, with the NUL at its end.
        if (path->size() > 107) return "names a socket whose path is longer than 107 bytes";
        address_.path = *path;
        return std::nullopt;
    }

    Wrong take_hosts_and_rest() {
        std::string_view after = rest_;
        std::string_view hosts = cut(after, '/');
        if (address_.way != RedisAddress::Way::sentinel) {
            if (auto wrong = take_host(hosts, redis_port)) return wrong;
            return after.empty() ? std::nullopt : take_database(after);
        }
        for (bool is_last = false; !is_last;) {
            is_last = hosts.find(',') == hosts.npos;
            if (auto wrong = take_host(cut(hosts, ','), sentinel_port)) return wrong;
        }
        const bool names_database = after.find('/') != after.npos;
        const auto master = percent_decoded(cut(after, '/'));
        if (!master || master->empty()) return "does not say what the Sentinels call their master";
        address_.master = *master;
        return names_database ? take_database(after) : std::nullopt;
    }

    Wrong take_host(std::string_view text, std::uint16_t default_port) {
        HostPort place{"", default_port};
        std::string_view host = text;
        std::string_view port;
        if (!text.empty() && text.front() == '[') {
            const auto end = text.find(']');
            if (end == text.npos) return "has a [ without a ]";
            host = text.substr(1, end - 1);
            port = text.substr(end + 1);
        } else {
            host = text.substr(0, text.find(':'));
            port = text.substr(host.size());
        }
        if (host.empty()) return "names no host";
        if (!port.empty()) {
            const auto value = shared::parse_number<std::uint16_t>(port.substr(1));
            if (port.front() != ':' || !value || *value == 0)
                return "has no number from 1 to 65535 as a port (an IPv6 address goes into brackets)";
            place.port = *value;
        }
        place.host = host;
        address_.hosts.push_back(std::move(place));
        return std::nullopt;
    }

    Wrong take_database(std::string_view text) {
        const auto database = shared::parse_number<unsigned>(text);
        if (!database) return "has no number as a database";
        address_.database = *database;
        return std::nullopt;
    }

    const Scheme& scheme_;
    std::string_view rest_;
    RedisAddress address_;
};

}  // namespace

std::string describe(const HostPort& place) {
    const bool bracketed = place.host.find(':') != std::string::npos;
    return (bracketed ? "[" + place.host + "]" : place.host) + ":" + std::to_string(place.port);
}

bool is_redis_url(std::string_view text) {
    return text.substr(0, 5) == "redis";
}

Expected<RedisAddress> parse_redis_address(std::string_view url) {
    const Scheme* scheme = scheme_of(url);
    if (!scheme)
        return failure(
            "the store's URL has to begin with redis://, rediss://, redis+unix:// or redis+sentinel://");
    return Parser(*scheme, url.substr(scheme->prefix.size())).parse();
}

std::string describe(const RedisAddress& address) {
    std::string text(scheme_of(address.way).prefix);
    if (address.way == RedisAddress::Way::unix_socket) {
        text += percent_encoded(address.path);
        return address.database == 0 ? text : text + "?db=" + std::to_string(address.database);
    }
    for (std::size_t i = 0; i < address.hosts.size(); ++i)
        text += (i == 0 ? "" : ",") + describe(address.hosts[i]);
    if (address.way == RedisAddress::Way::sentinel) text += "/" + percent_encoded(address.master);
    return address.database == 0 ? text : text + "/" + std::to_string(address.database);
}

}  // namespace sema
