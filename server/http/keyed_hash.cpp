#include "server/http/keyed_hash.hpp"

#include <bit>
#include <cstddef>
#include <cstring>

namespace sema::http {
namespace {

struct State {
    std::uint64_t v0, v1, v2, v3;

    void round() {
        v0 += v1;
        v1 = std::rotl(v1, 13) ^ v0;
        v0 = std::rotl(v0, 32);
        v2 += v3;
        v3 = std::rotl(v3, 16) ^ v2;
        v0 += v3;
        v3 = std::rotl(v3, 21) ^ v0;
        v2 += v1;
        v1 = std::rotl(v1, 17) ^ v2;
        v2 = std::rotl(v2, 32);
    }

    void take(std::uint64_t word) {
        v3 ^= word;
        round();
        round();
        v0 ^= word;
    }
};

// Up to eight bytes, the first the least.
std::uint64_t word_of(std::span<const unsigned char> bytes) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        word |= std::uint64_t{bytes[i]} << (8 * i);
    return word;
}

}  // namespace

std::uint64_t keyed_hash(const std::array<std::uint64_t, 2>& key, std::span<const unsigned char> bytes) {
    State state{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                key[1] ^ 0x7465646279746573};
    const std::uint64_t length = std::uint64_t{bytes.size()} << 56;
    for (; bytes.size() >= 8; bytes = bytes.subspan(8))
        state.take(word_of(bytes.first(8)));
    state.take(word_of(bytes) | length);
    state.v2 ^= 0xff;
    for (int i = 0; i < 4; ++i)
        state.round();
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

std::uint64_t waiter_name(const PoolId& pool, const LeaseId& lease) {
    const std::span<const unsigned char> key(pool.uuid().data);
    return keyed_hash({word_of(key.first(8)), word_of(key.last(8))},
                      std::span<const unsigned char>(lease.uuid().data));
}

// Of a random UUID, 122 bits are the system's entropy.
PoolHash::PoolHash() {
    for (std::uint64_t& word : key_) {
        const auto random = random_uuid();
        std::uint64_t mixed = 0;
        std::uint64_t rest = 0;
        std::memcpy(&mixed, random.data, sizeof mixed);
        std::memcpy(&rest, random.data + sizeof mixed, sizeof rest);
        word = mixed ^ std::rotl(rest, 29);
    }
}

std::string PoolHash::of(const PoolId& pool) const {
    const auto& id = pool.uuid();
    const std::uint64_t hash = keyed_hash(key_, {id.data, sizeof id.data});
    std::string text(16, '0');
    for (std::size_t i = 0; i < text.size(); ++i)
        text[i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 0xf];
    return text;
}

}  // namespace sema::http
