#include "cli/config.hpp"

#include "cli/new_file.hpp"
#include "cli/secret_ref.hpp"
#include "cli/toml_file.hpp"
#include "common/bearer_token.hpp"
#include "common/given_text.hpp"
#include "common/ids.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

namespace sema {
namespace {

namespace fs = std::filesystem;

std::string text_of(int error) {
    return std::generic_category().message(error);
}

class Reader {
  public:
    explicit Reader(const fs::path& path) { config_.path = path; }

    Expected<Config> read(const toml::table& file) {
        for (const auto& [key, node] : file) {
            const std::string_view name = key.str();
            if (name == "server") {
                if (auto done = read_servers(node); !done) return tl::unexpected(done.error());
            } else if (name == "cacert") {
                if (auto done = read_file_name(name, node, config_.cacert); !done)
                    return tl::unexpected(done.error());
            } else if (name == "cert") {
                if (auto done = read_file_name(name, node, config_.cert); !done)
                    return tl::unexpected(done.error());
            } else if (name == "key") {
                if (auto done = read_file_name(name, node, config_.key); !done)
                    return tl::unexpected(done.error());
            } else if (name == "admin_token") {
                if (auto done = read_admin_token(node); !done) return tl::unexpected(done.error());
            } else if (name == "pools") {
                if (auto done = read_pools(node); !done) return tl::unexpected(done.error());
            } else {
                return refuse(node, "there is no setting '" + std::string(name) +
                                        "' (there are: server, cacert, cert, key, admin_token, pools)");
            }
        }
        return config_;
    }

  private:
    tl::unexpected<Error> refuse(const toml::node& node, const std::string& why) const {
        return failure(place_of(config_.path, node) + ": " + why);
    }

    Expected<void> read_string(std::string_view name, const toml::node& node, std::string& into) const {
        const auto* text = node.as_string();
        if (text == nullptr) return refuse(node, std::string(name) + " must be a text in quotes");
        into = trimmed(text->get());
        return {};
    }

    void note_place(std::string_view name, const toml::node& node) {
        config_.places.emplace(name, place_of(config_.path, node));
    }

    Expected<void> read_servers(const toml::node& node) {
        note_place("server", node);
        std::string& all = config_.server.emplace();
        const toml::array* several = node.as_array();
        if (several == nullptr) return read_string("server", node, all);
        for (const toml::node& entry : *several) {
            std::string one;
            if (auto done = read_string("each server", entry, one); !done) return done;
            all += (all.empty() ? "" : ",") + one;
        }
        return {};
    }

    // A path is relative to the folder of the configuration file.
    Expected<void> read_file_name(std::string_view name, const toml::node& node,
                                  std::optional<std::string>& into) {
        note_place(name, node);
        std::string file;
        if (auto done = read_string(name, node, file); !done) return done;
        if (file.empty()) return refuse(node, std::string(name) + " needs the path of a file");
        into = (config_.path.parent_path() / file).string();
        return {};
    }

    Expected<void> read_duration(std::string_view name, const toml::node& node,
                                 std::optional<Duration>& into) const {
        const auto duration = sema::read_duration(name, node);
        if (!duration) return refuse(node, duration.error().message);
        into = *duration;
        return {};
    }

    Expected<void> read_admin_token(const toml::node& node) {
        std::string& token = config_.admin_token.emplace();
        if (auto done = read_string("admin_token", node, token); !done) return done;
        const bool indirect = is_secret_ref(token);
        if (!indirect && !is_bearer_token(token))
            return refuse(node, "admin_token needs a token, env:NAME or file:PATH");
        config_.exposed = config_.exposed || !indirect;
        return {};
    }

    Expected<void> read_pools(const toml::node& node) {
        const toml::table* pools = node.as_table();
        if (pools == nullptr) return refuse(node, "pools must be a table");
        for (const auto& [key, entry] : *pools) {
            PoolDefaults defaults;
            auto done = entry.is_table() ? read_pool(*entry.as_table(), defaults)
                                         : read_string("the pool's UUID", entry, defaults.id);
            if (!done) return done;
            const bool indirect = is_secret_ref(defaults.id);
            if (!indirect && !PoolId::parse(defaults.id))
                return refuse(entry,
                              "pools." + std::string(key.str()) + " needs a UUID, env:NAME or file:PATH");
            config_.exposed = config_.exposed || !indirect;
            config_.pools.emplace(key.str(), std::move(defaults));
        }
        return {};
    }

    Expected<void> read_pool(const toml::table& table, PoolDefaults& into) const {
        for (const auto& [key, node] : table) {
            const std::string_view name = key.str();
            Expected<void> done;
            if (name == "id") {
                done = read_string(name, node, into.id);
            } else if (name == "ttl") {
                done = read_duration(name, node, into.ttl);
                if (done && *into.ttl == Duration::zero()) done = refuse(node, "ttl must be more than 0");
            } else if (name == "wait") {
                done = read_duration(name, node, into.wait);
            } else {
                done = refuse(node,
                              "a pool has no setting '" + std::string(name) + "' (there are: id, ttl, wait)");
            }
            if (!done) return done;
        }
        return {};
    }

    Config config_;
};

// The whole file; none where there is no file.
Expected<std::optional<std::string>> read_file(const fs::path& path) {
    errno = 0;
    std::ifstream file(path);
    if (!file) {
        const int error = errno;
        if (error == ENOENT || error == ENOTDIR) return std::optional<std::string>();
        return failure("cannot read " + path.string() + ": " + text_of(error));
    }
    std::ostringstream text;
    text << file.rdbuf();
    std::error_code unknown;
    if (fs::is_directory(path, unknown))
        return failure("cannot read " + path.string() + ": " + text_of(EISDIR));
    return std::optional<std::string>(text.str());
}

// Where the line after the header `[pools]` begins; none where there is no such header.
std::optional<std::size_t> below_pools_header(const std::string& text) {
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        std::string line = text.substr(begin, end - begin);
        line.erase(std::remove_if(line.begin(), line.end(), [](char c) { return c == ' ' || c == '\t'; }),
                   line.end());
        if (line.rfind("[pools]", 0) == 0) return std::min(end + 1, text.size());
        begin = end + 1;
    }
    return std::nullopt;
}

// `text` with the new line right below the header of its pools, or with such a table at its end.
std::string with_alias(const std::string& text, const std::string& line) {
    const bool open_line = !text.empty() && text.back() != '\n';
    const std::string whole = text + (open_line ? "\n" : "");
    if (const auto at = below_pools_header(whole)) return whole.substr(0, *at) + line + whole.substr(*at);
    return whole + (whole.empty() ? "" : "\n") + "[pools]\n" + line;
}

// The first and the last line, from 1, on which an entry of the file stands.
std::pair<std::size_t, std::size_t> lines_of(const toml::node& entry) {
    std::size_t last = entry.source().end.line;
    if (const toml::table* table = entry.as_table()) {
        for (const auto& [key, value] : *table)
            last = std::max<std::size_t>(last, value.source().end.line);
    }
    return {entry.source().begin.line, last};
}

std::string without_lines(const std::string& text, std::pair<std::size_t, std::size_t> lines) {
    std::string rest;
    std::size_t number = 1;
    for (std::size_t begin = 0; begin < text.size(); ++number) {
        const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
        if (number < lines.first || number > lines.second) rest += text.substr(begin, end - begin);
        begin = end;
    }
    return rest;
}

// The file's content without the alias. One without pools has an empty table of them.
toml::table without(const toml::table& file, const std::string& alias) {
    toml::table rest = file;
    if (!rest.contains("pools")) rest.insert("pools", toml::table{});
    if (toml::table* pools = rest["pools"].as_table()) pools->erase(alias);
    return rest;
}

// Whether `text` has everything else that was in the file, and for the alias exactly `id`.
bool holds(const std::string& text, const toml::table& before, const std::string& alias,
           const std::optional<std::string>& id) {
    const auto after = parse_toml(text, "");
    if (!after || without(*after, alias) != without(before, alias)) return false;
    const auto entry = (*after)["pools"][alias];
    return id ? entry.value<std::string>() == id : !entry;
}

// Makes other processes wait that save an alias in the same folder. A lock on the file itself would stay
// behind with the old one. Where the file system has no locks there is none.
class FolderLock {
  public:
    explicit FolderLock(const fs::path& folder)
        : fd_(open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
        while (fd_ >= 0 && flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
        }
    }
    ~FolderLock() {
        if (fd_ >= 0) close(fd_);
    }
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;

  private:
    int fd_;
};

// Where a link leads, and the next one, whether or not there is a file at the end.
fs::path behind_links(fs::path path) {
    constexpr int most_links = 40;
    std::error_code error;
    for (int i = 0; i < most_links && fs::is_symlink(path, error); ++i)
        path = path.parent_path() / fs::read_symlink(path, error);
    return path;
}

Expected<void> make_folder(const fs::path& folder) {
    std::error_code error;
    if (folder.empty() || fs::exists(folder, error)) return {};
    fs::create_directories(folder, error);
    if (!error) fs::permissions(folder, fs::perms::owner_all, error);
    if (error) return failure("cannot make " + folder.string() + ": " + error.message());
    return {};
}

// Replaces the file by what `change` makes of it.
Expected<void> rewrite(
    const fs::path& path,
    const std::function<Expected<std::string>(const std::string& text, const toml::table& file)>& change) {
    // A link stays a link: some people keep their configuration elsewhere.
    const fs::path target = behind_links(path);
    if (auto made = make_folder(target.parent_path()); !made) return made;
    const FolderLock lock(target.parent_path());

    const auto text = read_file(target);
    if (!text) return tl::unexpected(text.error());
    const std::string before = text->value_or("");
    const auto parsed = parse_toml(before, path);
    if (!parsed) return tl::unexpected(parsed.error());
    const auto after = change(before, *parsed);
    if (!after) return tl::unexpected(after.error());
    NewFile file(target);
    if (!file.is_open() || !file.write(*after) || !file.place())
        return failure("cannot write " + path.string() + ": " + text_of(errno));
    return {};
}

}  // namespace

fs::path default_config_path() {
    const auto set = [](const char* name) {
        const char* value = std::getenv(name);
        return value != nullptr && *value != '\0' ? value : nullptr;
    };
    if (const char* base = set("XDG_CONFIG_HOME")) return fs::path(base) / "semactl/config.toml";
    if (const char* home = set("HOME")) return fs::path(home) / ".config/semactl/config.toml";
    return {};
}

Expected<Config> load_config(const fs::path& path) {
    const auto text = read_file(path);
    Config none;
    none.path = path;
    if (!text) none.unreadable = text.error().message;
    if (!text || !*text) return none;
    return parse_toml(**text, path).and_then([&](const toml::table& file) {
        return Reader(path).read(file).map([&](Config config) {
            struct stat info {};
            const bool open = stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IRGRP | S_IROTH)) != 0;
            config.exposed = config.exposed && open;
            return config;
        });
    });
}

Expected<void> save_alias(const fs::path& path, const std::string& alias, const std::string& id) {
    return rewrite(path, [&](const std::string& text, const toml::table& file) -> Expected<std::string> {
        if (file["pools"][alias])
            return failure(alias + ": " + path.string() + " has a pool of that name already");
        const std::string after = with_alias(text, alias + " = \"" + id + "\"\n");
        if (holds(after, file, alias, id)) return after;
        return failure("cannot add a line to " + path.string() +
                       ": its pools are written in a way that only a person can add to");
    });
}

Expected<void> forget_alias(const fs::path& path, const std::string& alias) {
    return rewrite(path, [&](const std::string& text, const toml::table& file) -> Expected<std::string> {
        const auto entry = file["pools"][alias];
        if (!entry) return failure(alias + ": " + path.string() + " has no pool of that name");
        const std::string after = without_lines(text, lines_of(*entry.node()));
        if (holds(after, file, alias, std::nullopt)) return after;
        return failure("cannot take " + alias + " out of " + path.string() +
                       ": it is written in a way that only a person can take out");
    });
}

}  // namespace sema
