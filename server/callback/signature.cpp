#include "server/callback/signature.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <optional>

namespace sema::callback {
namespace {

constexpr std::string_view prefix = "whsec_";
constexpr std::size_t shortest_key = 24;
constexpr std::size_t longest_key = 64;

std::string base64(const unsigned char* bytes, std::size_t size) {
    std::string text(4 * ((size + 2) / 3), '\0');
    // Writes a NUL behind it, where a string has one.
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, static_cast<int>(size));
    return text;
}

std::optional<std::string> from_base64(std::string_view text) {
    if (text.empty() || text.size() % 4 != 0 || text.size() > 4 * longest_key) return std::nullopt;
    std::string bytes(3 * text.size() / 4, '\0');
    const int size =
        EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                        reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
    if (size < 0) return std::nullopt;
    // It counts the padding too, and passes over spaces.
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    bytes.resize(static_cast<std::size_t>(size) - padding);
    const auto* const first = reinterpret_cast<const unsigned char*>(bytes.data());
    if (base64(first, bytes.size()) != text) return std::nullopt;
    return bytes;
}

}  // namespace

Expected<std::vector<std::string>> parse_secret(const std::string& secret) {
    std::vector<std::string> keys;
    std::string_view rest = secret;
    while (!rest.empty()) {
        const std::string_view word = rest.substr(0, rest.find(' '));
        rest.remove_prefix(std::min(word.size() + 1, rest.size()));
        if (word.empty()) continue;
        const auto key = word.starts_with(prefix) ? from_base64(word.substr(prefix.size())) : std::nullopt;
        if (!key || key->size() < shortest_key || key->size() > longest_key)
            return failure(
                "callback.secret must be whsec_ and base64 of 24 to 64 bytes; several stand between spaces");
        keys.push_back(*key);
    }
    if (keys.empty() && !secret.empty()) return failure("callback.secret has no key");
    return keys;
}

std::string sign(const std::vector<std::string>& keys, std::string_view id, std::int64_t timestamp,
                 std::string_view body) {
    const std::string content = std::string(id) + "." + std::to_string(timestamp) + "." + std::string(body);
    std::string signatures;
    for (const std::string& key : keys) {
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
        unsigned size = 0;
        HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest.data(), &size);
        signatures += (signatures.empty() ? "v1," : " v1,") + base64(digest.data(), size);
    }
    return signatures;
}

std::string message_id(const LeaseId& lease, std::uint64_t fence) {
    const std::string text = lease.str() + " " + std::to_string(fence);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
    constexpr std::string_view digits = "0123456789abcdef";
    std::string id = "msg_";
    for (std::size_t i = 0; i < 16; ++i) {
        id += digits[digest[i] >> 4];
        id += digits[digest[i] & 15];
    }
    return id;
}

}  // namespace sema::callback
