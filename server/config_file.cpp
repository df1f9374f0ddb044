#include "server/config_file.hpp"

#include "common/closest_word.hpp"
#include "common/deep_key.hpp"
#include "common/given_text.hpp"
#include "server/pool_reader.hpp"
#include "server/regular_file.hpp"

#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

namespace sema {
namespace {

// More than anybody writes.
constexpr std::size_t longest_file = 16 << 20;

class File {
  public:
    explicit File(const std::string& path) : descriptor_(open_regular_file(path)) {}
    ~File() {
        if (descriptor_) ::close(*descriptor_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    // The error is the reason alone.
    Expected<std::string> content() const {
        if (!descriptor_) return tl::unexpected(descriptor_.error());
        std::string text;
        std::array<char, 4096> bytes;
        while (true) {
            const ssize_t size = ::read(*descriptor_, bytes.data(), bytes.size());
            if (size == 0) return text;
            if (size < 0 && errno == EINTR) continue;
            if (size < 0) return failure(std::generic_category().message(errno));
            text.append(bytes.data(), static_cast<std::size_t>(size));
            if (text.size() > longest_file) return failure(std::generic_category().message(EFBIG));
        }
    }

    bool is_exposed() const {
        struct stat info {};
        return ::fstat(*descriptor_, &info) == 0 && (info.st_mode & S_IROTH) != 0;
    }

  private:
    const Expected<int> descriptor_;
};

std::string line_of(const toml::source_region& region) {
    return std::to_string(region.begin.line);
}

// What the settings' readers take. Nothing where a value of this kind is not written so.
std::optional<std::string> text_of(const toml::node& node, ValueKind kind) {
    if (kind == ValueKind::yes_or_no) {
        const auto* yes = node.as_boolean();
        return yes ? std::optional(std::string(yes->get() ? "true" : "false")) : std::nullopt;
    }
    const bool takes_number = kind == ValueKind::number || kind == ValueKind::duration;
    if (const auto* number = node.as_integer(); number && takes_number) return std::to_string(number->get());
    if (const auto* number = node.as_floating_point(); number && kind == ValueKind::duration)
        return std::to_string(number->get());
    const auto* text = node.as_string();
    if (!text || kind == ValueKind::number) return std::nullopt;
    return std::string(trimmed(text->get()));
}

const char* wanted(ValueKind kind) {
    switch (kind) {
        case ValueKind::text:
        case ValueKind::file:
            return "must be a text in quotes";
        case ValueKind::texts:
            return "must be a list of texts in quotes";
        case ValueKind::number:
            return "must be a whole number, without quotes";
        case ValueKind::duration:
            return "must be a duration such as \"5m\", or a number of seconds";
        case ValueKind::yes_or_no:
            return "must be true or false, without quotes";
    }
    return "";
}

class Reader {
  public:
    explicit Reader(const std::string& path) : path_(path) {}

    Expected<ConfigFile> read(const toml::table& root) {
        for (const auto& [key, node] : root)
            read_entry(std::string(key.str()), key.source(), node);
        if (wrong_.empty()) return std::move(file_);
        // The first in the file is the one to mend first.
        return failure(std::min_element(wrong_.begin(), wrong_.end())->second);
    }

  private:
    void read_entry(const std::string& key, const toml::source_region& place, const toml::node& node) {
        const auto all = server_settings();
        const auto setting =
            std::find_if(all.begin(), all.end(), [&](const ServerSetting& each) { return each.key == key; });
        // `dashboard` is both: a setting, and the table of another one.
        const bool is_table = node.is_table() && is_table_name(key);
        if (setting != all.end() && !is_table) return read_value(*setting, place, node);
        if (key == "pool") return read_pool_tables(place, node);
        if (!is_table_name(key)) return refuse(key, place, "there is no such setting" + hint(key));
        const toml::table* table = node.as_table();
        if (!table) return refuse(key, place, "must be a table: write [" + key + "]");
        for (const auto& [inner, value] : *table)
            read_entry(key + "." + std::string(inner.str()), inner.source(), value);
    }

    void read_pool_tables(const toml::source_region& place, const toml::node& node) {
        const toml::array* tables = node.as_array();
        if (!tables || !tables->is_homogeneous(toml::node_type::table))
            return refuse("pool", place, "must be a table for each pool: write [[pool]]");
        for (const toml::node& table : *tables)
            file_.has_ids = file_.has_ids || table.as_table()->contains("id");
        file_.pools = read_pools(
            *tables, path_,
            [this](const auto& at, const std::string& key, const std::string& why) { refuse(key, at, why); });
    }

    void read_value(const ServerSetting& setting, const toml::source_region& place, const toml::node& node) {
        std::vector<std::string> texts;
        const toml::array* list = setting.value.kind == ValueKind::texts ? node.as_array() : nullptr;
        bool is_right = true;
        const auto take = [&](const toml::node& each) {
            auto text = text_of(each, setting.value.kind);
            is_right = is_right && text.has_value();
            texts.push_back(std::move(text).value_or(""));
        };
        if (list) {
            for (const toml::node& each : *list)
                take(each);
        } else {
            take(node);
        }
        if (!is_right) return refuse(setting.key, place, wanted(setting.value.kind));
        for (std::string& text : texts)
            text = in_folder(setting.value.kind, std::move(text));
        file_.values.push_back({&setting, name(setting.key, place), std::move(texts)});
    }

    // Names of files are relative to the configuration file, and not to semad's working directory.
    std::string in_folder(ValueKind kind, std::string text) const {
        if (kind == ValueKind::file) return beside(path_, text);
        for (const std::string scheme : {"unix:", "sqlite:"}) {
            if (text.starts_with(scheme)) return scheme + beside(path_, text.substr(scheme.size()));
        }
        return text;
    }

    // Whether there are settings below it.
    static bool is_table_name(const std::string& key) {
        const auto all = server_settings();
        return std::any_of(all.begin(), all.end(),
                           [&](const ServerSetting& setting) { return setting.key.starts_with(key + "."); });
    }

    // What may have been meant.
    static std::string hint(const std::string& key) {
        // A key in the wrong table, or an option's name, is one of ours all the same.
        const std::string last = key.substr(key.rfind('.') + 1);
        for (const ServerSetting& setting : server_settings()) {
            if (setting.name == last || setting.key.ends_with("." + last))
                return " (did you mean '" + setting.key + "'?)";
        }
        std::vector<std::string> keys;
        for (const ServerSetting& setting : server_settings()) {
            if (last == key) keys.push_back(setting.key.substr(0, setting.key.find('.')));
            keys.push_back(setting.key);
        }
        if (last == key) keys.emplace_back("pool");
        const std::string meant = closest_word(key, keys);
        return meant.empty() ? " (semad.toml(5) lists them)" : " (did you mean '" + meant + "'?)";
    }

    std::string name(const std::string& key, const toml::source_region& place) const {
        return path_ + ":" + line_of(place) + ": " + key;
    }

    void refuse(const std::string& key, const toml::source_region& place, const std::string& why) {
        wrong_.emplace_back(place.begin.line, name(key, place) + ": " + why);
    }

    const std::string path_;
    ConfigFile file_;
    std::vector<std::pair<toml::source_index, std::string>> wrong_;
};

// toml++'s own words, some of which go over several lines.
std::string one_line(std::string_view text) {
    std::string line;
    for (const char c : text)
        line += c == '\n' ? ' ' : c;
    return line;
}

Expected<toml::table> parse_toml(const std::string& text, const std::string& path) {
    if (const auto line = line_of_deep_key(text)) {
        return failure(path + ":" + std::to_string(*line) + ": a key has more than " +
                       std::to_string(most_key_parts) + " parts");
    }
    try {
        return toml::parse(text, path);
    } catch (const toml::parse_error& error) {
        return failure(path + ":" + line_of(error.source()) + ": " + one_line(error.description()));
    }
}

}  // namespace

Expected<ConfigFile> read_config_file(const std::string& path) {
    const File file(path);
    const auto text = file.content();
    if (!text) return failure("cannot read " + path + ": " + text.error().message);
    const auto root = parse_toml(*text, path);
    if (!root) return tl::unexpected(root.error());
    auto read = Reader(path).read(*root);
    if (read) read->is_exposed = file.is_exposed();
    return read;
}

}  // namespace sema
