#include "cli/dispatch/dispatch_file.hpp"

#include "cli/toml_file.hpp"
#include "common/closest_word.hpp"
#include "common/given_text.hpp"
#include "common/ids.hpp"
#include "common/wire.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <functional>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

namespace sema {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::size_t longest_name = 64;

struct Parsed {
    fs::path path;
    toml::table table;
};

Expected<Parsed> parse(const fs::path& named) {
    std::error_code error;
    const fs::path path = fs::absolute(named, error);
    const auto refuse = [&](int number) {
        return failure("cannot read " + named.string() + ": " + std::generic_category().message(number));
    };
    if (fs::is_directory(path, error)) return refuse(EISDIR);
    errno = 0;
    std::ifstream file(path);
    if (!file) return refuse(errno);
    std::ostringstream text;
    text << file.rdbuf();
    return parse_toml(text.str(), named).map([&](toml::table table) {
        return Parsed{path, std::move(table)};
    });
}

/// Reads one table: `keys` says what to do with each key that may be there.
class TableReader {
  public:
    struct Key {
        std::string_view name;
        std::function<Expected<void>(const toml::node&)> read;
    };

    TableReader(const fs::path& path, std::string owner) : path_(path), owner_(std::move(owner)) {}

    Expected<void> read(const toml::table& table, const std::vector<Key>& keys) const {
        for (const auto& [key, node] : table) {
            const std::string_view name = key.str();
            const auto known =
                std::find_if(keys.begin(), keys.end(), [&](const Key& one) { return one.name == name; });
            if (known == keys.end()) return refuse(node, unknown(name, keys));
            if (auto done = known->read(node); !done) return refuse(node, done.error().message);
        }
        return {};
    }

    tl::unexpected<Error> refuse(const toml::node& node, const std::string& why) const {
        return failure(place_of(path_, node) + ": " + why);
    }

  private:
    std::string unknown(std::string_view name, const std::vector<Key>& keys) const {
        std::vector<std::string> words;
        std::string all;
        for (const Key& key : keys) {
            words.emplace_back(key.name);
            all += (all.empty() ? "" : ", ") + words.back();
        }
        const std::string meant = closest_word(std::string(name), words);
        return owner_ + " has no key '" + std::string(name) + "' (" +
               (meant.empty() ? "there are: " + all : "did you mean '" + meant + "'?") + ")";
    }

    const fs::path& path_;
    std::string owner_;
};

Expected<std::string> read_text(std::string_view name, const toml::node& node) {
    const auto* text = node.as_string();
    if (text == nullptr) return failure(std::string(name) + " must be a text in quotes");
    std::string trimmed_text(trimmed(text->get()));
    if (trimmed_text.empty()) return failure(std::string(name) + " is empty");
    return trimmed_text;
}

Expected<unsigned> read_slots(const toml::node& node) {
    const auto number = node.is_integer() ? node.value<std::int64_t>() : std::nullopt;
    if (!number || *number < 1 || *number > wire::largest_count)
        return failure("slots must be a whole number from 1 on");
    return static_cast<unsigned>(*number);
}

Expected<CommandWords> read_command(std::string_view name, const toml::node& node) {
    const std::string wanted =
        std::string(name) +
        " must be a list of texts, the command and its arguments: [\"./command\", \"{id}\"]";
    const toml::array* list = node.as_array();
    if (list == nullptr || list->empty()) return failure(wanted);
    CommandWords words;
    for (const toml::node& word : *list) {
        const auto* text = word.as_string();
        if (text == nullptr) return failure(wanted);
        if (text->get().find('\0') != std::string::npos)
            return failure(std::string(name) + " has a zero byte");
        words.push_back(text->get());
    }
    if (words.front().empty()) return failure(std::string(name) + ": the command is empty");
    return words;
}

// What stores a value where it can be read.
template <class T, class Read>
auto into(T& target, Read read) {
    return [&target, read](const toml::node& node) -> Expected<void> {
        auto value = read(node);
        if (!value) return tl::unexpected(value.error());
        target = *std::move(value);
        return {};
    };
}

auto duration_from(std::string_view name, Duration least) {
    return [name, least](const toml::node& node) -> Expected<Duration> {
        auto time = read_duration(name, node);
        if (time && *time < least)
            return failure(std::string(name) + " must be at least " +
                           (least < 1s ? std::to_string(least / 1ms) + "ms" : describe(least)));
        return time;
    };
}

auto text_of(std::string_view name) {
    return [name](const toml::node& node) { return read_text(name, node); };
}

auto command_of(std::string_view name) {
    return [name](const toml::node& node) { return read_command(name, node); };
}

bool others_can_read(const fs::path& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IRGRP | S_IROTH)) != 0;
}

Expected<DispatchPool> pool_of(const Parsed& parsed, const fs::path& named) {
    DispatchPool pool{parsed.path, "", std::nullopt};
    const TableReader reader(named, "a dispatch file");
    if (const toml::node* node = parsed.table.get("pool")) {
        const auto text = read_text("pool", *node);
        if (!text) return reader.refuse(*node, text.error().message);
        pool.pool = *text;
        pool.is_exposed = PoolId::parse(*text) && others_can_read(parsed.path);
    }
    if (const toml::node* node = parsed.table.get("slots")) {
        const auto slots = read_slots(*node);
        if (!slots) return reader.refuse(*node, slots.error().message);
        pool.slots = *slots;
    }
    if (pool.pool.empty() && !pool.slots)
        return failure(named.string() +
                       ": it names no pool (write pool = \"POOL\", or slots = N for a pool of its own)");
    return pool;
}

Expected<void> check(const BackendSettings& settings) {
    const bool is_printable =
        std::all_of(settings.name.begin(), settings.name.end(), [](char c) { return c >= ' ' && c <= '~'; });
    if (settings.name.empty()) return failure("a backend needs a name");
    if (!is_printable || settings.name.size() > longest_name)
        return failure("a backend's name is at most 64 characters of ASCII");
    const std::string begin = "the backend " + settings.name + " ";
    if (settings.poll.empty()) return failure(begin + "needs poll");
    if (settings.run.empty() && settings.start.empty()) return failure(begin + "needs run or start");
    if (!settings.run.empty() && !settings.start.empty())
        return failure(begin + "has run and start: a task is either the command, or what the command starts");
    return {};
}

Expected<BackendSettings> read_backend(const toml::table& table, const fs::path& path) {
    BackendSettings settings;
    const TableReader reader(path, "a backend");
    const auto command = [](CommandWords& words, std::string_view name) {
        return TableReader::Key{name, into(words, command_of(name))};
    };
    const auto done = reader.read(table, {{"name", into(settings.name, text_of("name"))},
                                          command(settings.poll, "poll"),
                                          command(settings.run, "run"),
                                          command(settings.start, "start"),
                                          command(settings.stop, "stop"),
                                          command(settings.timeout_command, "timeout_command"),
                                          command(settings.keepalive, "keepalive"),
                                          command(settings.error, "error")});
    if (!done) return tl::unexpected(done.error());
    if (const auto right = check(settings); !right) return reader.refuse(table, right.error().message);
    return settings;
}

Expected<std::vector<BackendSettings>> read_backends(const toml::node& node, const fs::path& path) {
    std::vector<BackendSettings> backends;
    const TableReader reader(path, "");
    const toml::array* list = node.as_array();
    if (list == nullptr) return reader.refuse(node, "backend must be written as [[backend]]");
    for (const toml::node& entry : *list) {
        const toml::table* table = entry.as_table();
        if (table == nullptr) return reader.refuse(entry, "backend must be written as [[backend]]");
        auto settings = read_backend(*table, path);
        if (!settings) return tl::unexpected(settings.error());
        const bool is_second = std::any_of(backends.begin(), backends.end(),
                                           [&](const auto& other) { return other.name == settings->name; });
        if (is_second) return reader.refuse(entry, "there are two backends called " + settings->name);
        backends.push_back(*std::move(settings));
    }
    return backends;
}

}  // namespace

Expected<DispatchPool> load_dispatch_pool(const fs::path& path) {
    return parse(path).and_then([&](const Parsed& parsed) { return pool_of(parsed, path); });
}

Expected<DispatchFile> load_dispatch_file(const fs::path& path) {
    const auto parsed = parse(path);
    if (!parsed) return tl::unexpected(parsed.error());
    DispatchFile file;
    const auto is_read = [](const toml::node&) { return Expected<void>(); };
    const TableReader reader(path, "a dispatch file");
    const auto done =
        reader.read(parsed->table, {{"pool", is_read},
                                    {"slots", is_read},
                                    {"interval", into(file.interval, duration_from("interval", 100ms))},
                                    {"timeout", into(file.timeout, duration_from("timeout", 100ms))},
                                    {"limit", into(file.limit, duration_from("limit", 100ms))},
                                    {"ttl", into(file.ttl, duration_from("ttl", 3s))},
                                    {"backend", is_read}});
    if (!done) return tl::unexpected(done.error());
    auto pool = pool_of(*parsed, path);
    if (!pool) return tl::unexpected(pool.error());
    file.pool = *std::move(pool);
    file.slots = file.pool.slots;
    if (const toml::node* node = parsed->table.get("backend")) {
        auto backends = read_backends(*node, path);
        if (!backends) return tl::unexpected(backends.error());
        file.backends = *std::move(backends);
    }
    if (file.backends.empty())
        return failure(path.string() + ": it has no [[backend]], so there is nothing to run");
    return file;
}

}  // namespace sema
