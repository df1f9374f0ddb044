#include "common/ids.hpp"

#include <boost/uuid/uuid_io.hpp>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <system_error>

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

constexpr std::uint8_t no_digit = 0xff;

// The value of each character that is a hexadecimal digit. Digits and letters come in random order in an id,
// so that to branch on which of them one is would stall the processor.
constexpr std::array<std::uint8_t, 256> hex_values = [] {
    std::array<std::uint8_t, 256> values{};
    values.fill(no_digit);
    for (const std::string_view digits : {"0123456789abcdef", "0123456789ABCDEF"}) {
        for (std::size_t value = 0; value < digits.size(); ++value)
            values[static_cast<unsigned char>(digits[value])] = static_cast<std::uint8_t>(value);
    }
    return values;
}();

// How often this process was forked off another that had made ids.
std::atomic<unsigned> forks = 0;

/// The kernel's random bytes for several ids, fetched with one call since that takes longer than all the rest
/// of making an id. Each byte is given out once and wiped. What is left at a fork stays with the parent.
class RandomBytes {
  public:
    RandomBytes() {
        static const int watched = pthread_atfork(nullptr, nullptr, [] { ++forks; });
        if (watched != 0) throw std::system_error(watched, std::generic_category(), "pthread_atfork");
    }
    RandomBytes(const RandomBytes&) = delete;
    RandomBytes& operator=(const RandomBytes&) = delete;
    ~RandomBytes() { explicit_bzero(bytes_.data(), bytes_.size()); }

    void take(boost::uuids::uuid& to) {
        if (left_ < to.size() || forks_ != forks) fetch();
        std::uint8_t* from = bytes_.data() + bytes_.size() - left_;
        std::copy(from, from + to.size(), to.begin());
        explicit_bzero(from, to.size());
        left_ -= to.size();
    }

  private:
    void fetch() {
        // Unlike getentropy() it does without a call that Linux has since 3.17 only.
        arc4random_buf(bytes_.data(), bytes_.size());
        left_ = bytes_.size();
        forks_ = forks;
    }

    // As many as the kernel gives at once.
    std::array<std::uint8_t, 256> bytes_{};
    std::size_t left_ = 0;
    unsigned forks_ = 0;
};

}  // namespace

boost::uuids::uuid random_uuid() {
    thread_local RandomBytes random;
    boost::uuids::uuid id;
    random.take(id);
    // RFC 9562, section 5.4: version 4, and the variant of that document.
    id.begin()[6] = static_cast<std::uint8_t>((id.begin()[6] & 0x0f) | 0x40);
    id.begin()[8] = static_cast<std::uint8_t>((id.begin()[8] & 0x3f) | 0x80);
    return id;
}

std::optional<boost::uuids::uuid> parse_uuid(std::string_view text) {
    constexpr std::string_view urn = "urn:uuid:";
    if (text.size() > urn.size() && is_urn_prefix(text.substr(0, urn.size()), urn)) {
        text.remove_prefix(urn.size());
    } else if (text.size() > 2 && text.front() == '{' && text.back() == '}') {
        text = text.substr(1, text.size() - 2);
    }
    constexpr std::size_t digits = 32;
    constexpr std::size_t hyphens = 4;
    const bool hyphenated = text.size() == digits + hyphens;
    if (!hyphenated && text.size() != digits) return std::nullopt;
    boost::uuids::uuid id;
    auto next = text.begin();
    for (std::size_t i = 0; i < id.size(); ++i) {
        const bool starts_group = i == 4 || i == 6 || i == 8 || i == 10;
        if (hyphenated && starts_group && *next++ != '-') return std::nullopt;
        const unsigned high = hex_values[static_cast<unsigned char>(*next++)];
        const unsigned low = hex_values[static_cast<unsigned char>(*next++)];
        if (high == no_digit || low == no_digit) return std::nullopt;
        id.begin()[i] = static_cast<std::uint8_t>(high << 4 | low);
    }
    return id;
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
