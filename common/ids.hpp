#pragma once

#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/string_generator.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sema {

/// A UUID that names one kind of thing; ids of different kinds do not mix. Every id is a secret: it is
/// what entitles its bearer to use the thing, so it is never logged and never part of an error text.
template <class Kind>
class Id {
  public:
    Id() = default;
    explicit Id(const boost::uuids::uuid& value) : value_(value) {}

    /// A fresh version 4 UUID from the operating system's entropy. Any thread.
    static Id random() {
        thread_local boost::uuids::random_generator_pure generate;
        return Id(generate());
    }

    /// Reads the text forms of RFC 9562, section 4: hyphenated or 32 hex digits, optionally in braces or
    /// behind `urn:uuid:`, in any case. Any version and variant, the nil UUID included. Nothing else.
    static std::optional<Id> parse(std::string_view text) {
        constexpr std::string_view urn = "urn:uuid:";
        if (text.size() > urn.size() && is_urn_prefix(text.substr(0, urn.size()), urn)) {
            text.remove_prefix(urn.size());
            if (text.front() == '{') return std::nullopt;
        }
        try {
            return Id(boost::uuids::string_generator()(text.begin(), text.end()));
        } catch (const std::runtime_error&) {
            return std::nullopt;
        }
    }

    /// Lower case, hyphenated: 36 characters.
    std::string str() const { return boost::uuids::to_string(value_); }

    const boost::uuids::uuid& uuid() const { return value_; }

    friend bool operator==(const Id& a, const Id& b) { return a.value_ == b.value_; }
    friend bool operator<(const Id& a, const Id& b) { return a.value_ < b.value_; }

  private:
    static bool is_urn_prefix(std::string_view text, std::string_view urn) {
        for (std::size_t i = 0; i < urn.size(); ++i) {
            const char c = text[i];
            const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
            if (lower != urn[i]) return false;
        }
        return true;
    }

    boost::uuids::uuid value_{};
};

/// Ids come from clients, so which of them share a bucket of a table depends on a number that nobody knows.
inline std::size_t hash_of(const boost::uuids::uuid& value) {
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

using PoolId = Id<struct PoolKind>;
using LeaseId = Id<struct LeaseKind>;

}  // namespace sema

template <class Kind>
struct std::hash<sema::Id<Kind>> {
    std::size_t operator()(const sema::Id<Kind>& id) const noexcept { return sema::hash_of(id.uuid()); }
};
