#include "server/admin_token.hpp"

#include "common/bearer_token.hpp"
#include "server/secret_file.hpp"

#include <utility>

namespace sema {

Expected<AdminToken> read_admin_token(const std::string& path, const std::string& lead) {
    if (path.empty()) return AdminToken{};
    const auto refuse = [&](const std::string& why) {
        return failure(lead + "cannot take the admin token from " + path + ": " + why);
    };
    auto secret = read_secret(path);
    if (!secret) return refuse(secret.error().message);
    if (!is_bearer_token(secret->text)) {
        return refuse(
            "its first line must be at most 4096 letters, digits and -._~+/ (openssl rand -hex 32 "
            "makes a good one)");
    }
    return AdminToken{std::move(secret->text), secret->exposed};
}

std::string exposure_of_token(const std::string& path) {
    return path + " holds the admin token and others can read it (chmod 600 it)";
}

}  // namespace sema
