#include "common/ids.hpp"

#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/string_generator.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>

namespace sema {
namespace {

bool is_urn_prefix(std::string_view text, std::string_view urn) {
    for (std::size_t i = 0; i < urn.size(); ++i) {
        const char c = text[i];
        const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        if (lower != urn[i]) return false;
    }
    return true;
}

}  // namespace

boost::uuids::uuid random_uuid() {
    thread_local boost::uuids::random_generator_pure generate;
    return generate();
}

std::optional<boost::uuids::uuid> parse_uuid(std::string_view text) {
    constexpr std::string_view urn = "urn:uuid:";
    if (text.size() > urn.size() && is_urn_prefix(text.substr(0, urn.size()), urn)) {
        text.remove_prefix(urn.size());
        if (text.front() == '{') return std::nullopt;
    }
    try {
        return boost::uuids::string_generator()(text.begin(), text.end());
    } catch (const std::runtime_error&) {
        return std::nullopt;
    }
}

std::string text_of(const boost::uuids::uuid& value) {
    return boost::uuids::to_string(value);
}

// Ids come from clients: a secret number keeps them from choosing ids that share a bucket of a table.
std::size_t hash_of(const boost::uuids::uuid& value) {
    static const std::uint64_t seed = [] {
        std::random_device entropy;
        return std::uint64_t{entropy()} << 32 | entropy();
    }();
    // The finalizer of MurmurHash3, which lets every bit of its input change every bit of its result.
    const auto mixed = [](std::uint64_t x) {
        x = (x ^ x >> 33) * 0xff51afd7ed558ccd;
        x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53;
        return x ^ x >> 33;
    };
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    std::memcpy(&first, value.begin(), sizeof first);
    std::memcpy(&second, value.begin() + sizeof first, sizeof second);
    return static_cast<std::size_t>(mixed(mixed(first ^ seed) ^ second));
}

}  // namespace sema
