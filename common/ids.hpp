#pragma once

#include <boost/uuid/uuid.hpp>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace sema {

// What Id does, for any kind: in ids.cpp, since its headers are long and nearly every file includes this one.
boost::uuids::uuid random_uuid();
std::optional<boost::uuids::uuid> parse_uuid(std::string_view text);
std::string text_of(const boost::uuids::uuid& value);
std::size_t hash_of(const boost::uuids::uuid& value);

/// A UUID that names one kind of thing; ids of different kinds do not mix. Every id is a secret: it is
/// what entitles its bearer to use the thing, so it is never logged and never part of an error text.
template <class Kind>
class Id {
  public:
    Id() = default;
    explicit Id(const boost::uuids::uuid& value) : value_(value) {}

    /// A fresh version 4 UUID from the operating system's entropy. Any thread.
    static Id random() { return Id(random_uuid()); }

    /// Reads the text forms of RFC 9562, section 4: hyphenated or 32 hex digits, optionally in braces or
    /// behind `urn:uuid:`, in any case. Any version and variant, the nil UUID included. Nothing else.
    static std::optional<Id> parse(std::string_view text) {
        const auto value = parse_uuid(text);
        return value ? std::optional(Id(*value)) : std::nullopt;
    }

    /// Lower case, hyphenated: 36 characters.
    std::string str() const { return text_of(value_); }

    const boost::uuids::uuid& uuid() const { return value_; }

    friend bool operator==(const Id& a, const Id& b) { return a.value_ == b.value_; }
    friend bool operator<(const Id& a, const Id& b) { return a.value_ < b.value_; }

  private:
    boost::uuids::uuid value_{};
};

using PoolId = Id<struct PoolKind>;
using LeaseId = Id<struct LeaseKind>;

}  // namespace sema

template <class Kind>
struct std::hash<sema::Id<Kind>> {
    std::size_t operator()(const sema::Id<Kind>& id) const noexcept { return sema::hash_of(id.uuid()); }
};
