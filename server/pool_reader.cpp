#include "server/pool_reader.hpp"

#include "common/durations.hpp"
#include "common/given_text.hpp"
#include "common/printable.hpp"
#include "common/wire.hpp"
#include "server/regular_file.hpp"
#include "server/secret_file.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace sema {
namespace {

using Json = nlohmann::ordered_json;

// What TOML has and JSON does not is a text.
Json to_json(const toml::node& node) {
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* number = node.as_integer()) return number->get();
    if (const auto* number = node.as_floating_point()) return number->get();
    if (const auto* yes = node.as_boolean()) return yes->get();
    if (const auto* list = node.as_array()) {
        Json json = Json::array();
        for (const toml::node& each : *list)
            json.push_back(to_json(each));
        return json;
    }
    if (const auto* table = node.as_table()) {
        Json json = Json::object();
        for (const auto& [key, value] : *table)
            json[std::string(key.str())] = to_json(value);
        return json;
    }
    std::ostringstream text;
    node.visit([&](const auto& value) {
        if constexpr (toml::is_date<decltype(value)> || toml::is_time<decltype(value)> ||
                      toml::is_date_time<decltype(value)>)
            text << value.get();
    });
    return text.str();
}

// A setting's value, by the type that it has in a pool.
Expected<std::string> read(const toml::node& node, const Setting<std::string>& setting) {
    const auto* text = node.as_string();
    if (!text) return failure("must be a text in quotes");
    std::string value(trimmed(text->get()));
    if (value.empty()) return failure("must not be empty");
    const auto characters =
        std::count_if(value.begin(), value.end(), [](char c) { return (c & 0xC0) != 0x80; });
    if (static_cast<std::size_t>(characters) > setting.most)
        return failure("must have at most " + std::to_string(setting.most) + " characters");
    // It stands in lines of the log, and in the table of `semad pools`.
    if (printable(value) != value) return failure("must have no control characters");
    return value;
}

Expected<bool> read(const toml::node& node, const Setting<bool>&) {
    const auto* yes = node.as_boolean();
    if (!yes) return failure("must be true or false, without quotes");
    return yes->get();
}

Expected<Duration> read(const toml::node& node, const Setting<Duration>& setting) {
    Duration duration{};
    if (const auto number = node.value<double>(); number && node.is_number()) {
        if (!(*number >= 0) || !std::isfinite(*number)) return failure("must not be negative");
        duration = from_seconds(*number);
    } else if (const auto* text = node.as_string()) {
        const auto parsed = parse_duration(trimmed(text->get()));
        if (!parsed) return tl::unexpected(parsed.error());
        duration = *parsed;
    } else {
        return failure("must be a duration such as \"5m\", or a number of seconds");
    }
    if (duration > setting.most) return failure("must be at most " + describe(setting.most));
    return duration;
}

template <SettingWord Word>
Expected<Word> read(const toml::node& node, const Setting<Word>&) {
    const auto* text = node.as_string();
    const auto word = text ? parse_word<Word>(trimmed(text->get())) : std::nullopt;
    if (!word) return failure("must be " + choice_of<Word>() + ", in quotes");
    return *word;
}

Expected<std::vector<Payload>> read(const toml::node& node, const Setting<std::vector<Payload>>&) {
    const auto* list = node.as_array();
    if (!list) return failure("must be a list");
    std::vector<Payload> payloads;
    for (const toml::node& each : *list) {
        if (!each.is_string() && !each.is_table()) return failure("must hold texts or tables only");
        auto payload =
            wire::parse_payload(to_json(each).dump(-1, ' ', false, Json::error_handler_t::replace));
        if (!payload) return tl::unexpected(payload.error());
        payloads.push_back(std::move(*payload));
    }
    return payloads;
}

class PoolReader {
  public:
    PoolReader(const std::string& path, const Refuse& refuse) : path_(path), refuse_(refuse) {}

    std::vector<DeclaredPool> read_all(const toml::array& tables) {
        std::vector<DeclaredPool> pools;
        for (const toml::node& node : tables) {
            if (const toml::table* table = node.as_table()) pools.push_back(read_table(*table));
        }
        return pools;
    }

  private:
    DeclaredPool read_table(const toml::table& table) {
        DeclaredPool pool{.place = place(table.source()), .count_place = {}};
        const std::size_t refused = unknown_;
        for (const auto& [key, node] : table)
            read_entry(std::string(key.str()), key.source(), node, pool);
        // What is missing stands there by a mistyped name, most likely.
        if (unknown_ > refused) return pool;
        if (!table.contains("name")) refuse_(table.source(), "pool", "needs a name");
        if (!pool.name().empty() && !names_.insert(pool.name()).second)
            refuse_(table.source(), "pool", "there are two with the name '" + pool.name() + "'");
        if (!table.contains("count")) refuse_(table.source(), "pool", "needs a count");
        if (table.contains("id") && table.contains("id-file"))
            refuse_(table.source(), "pool", "has an id and an id-file: one of them is enough");
        if (pool.id && !ids_.insert(*pool.id).second)
            refuse_(table.source(), "pool", "another pool has the same id");
        const std::size_t payloads = pool.settings.payloads.size();
        if (payloads > 0 && payloads < pool.count)
            refuse_(table.get("slots")->source(), "pool.slots",
                    "must have at least " + std::to_string(pool.count) + " entries, as many as count says");
        return pool;
    }

    void read_entry(const std::string& key, const toml::source_region& at, const toml::node& node,
                    DeclaredPool& pool) {
        const auto refuse = [&](const std::string& why) { refuse_(at, "pool." + key, why); };
        const auto take = [&](auto value, auto& into) {
            if (!value) return refuse(value.error().message);
            into = std::move(*value);
        };
        if (key == "id") return take(read_id(node), pool.id);
        if (key == "id-file") return take(read_id_file(at, node, pool), pool.id);
        if (key == "count") {
            pool.count_place = place(at) + ".count";
            return take(read_count(node), pool.count);
        }
        bool is_known = false;
        for_each_setting([&](const auto& setting) {
            if (key != setting.field) return;
            is_known = true;
            take(read(node, setting), pool.settings.*setting.value);
        });
        if (is_known) return;
        ++unknown_;
        refuse("a pool has no such setting (there are: " + known_keys() + ")");
    }

    static Expected<PoolId> read_id(const toml::node& node) {
        const auto* text = node.as_string();
        const auto id = text ? PoolId::parse(trimmed(text->get())) : std::nullopt;
        if (!id) return failure("must be a UUID in quotes");
        return *id;
    }

    Expected<std::optional<PoolId>> read_id_file(const toml::source_region& at, const toml::node& node,
                                                 DeclaredPool& pool) const {
        const auto* text = node.as_string();
        if (!text) return failure("must be a text in quotes");
        const std::string path = beside(path_, std::string(trimmed(text->get())));
        const auto secret = read_secret(path);
        if (!secret) {
            const std::string why = "cannot read " + path + ": " + secret.error().message;
            if (!is_credential_of_another(path)) return failure(why);
            pool.unread_id = place(at) + ".id-file: " + why;
            return std::nullopt;
        }
        const auto id = PoolId::parse(secret->text);
        if (secret->exposed) pool.exposed_id_file = path;
        if (!id) return failure("the first line of " + path + " must be a UUID (uuidgen makes one)");
        return id;
    }

    // What is too much is known once all limits are.
    static Expected<unsigned> read_count(const toml::node& node) {
        const auto* number = node.as_integer();
        if (!number) return failure("must be a whole number, without quotes");
        if (number->get() < 0 || number->get() > wire::largest_count)
            return failure(std::to_string(number->get()) + " is out of range (0 to " +
                           std::to_string(wire::largest_count) + ")");
        return static_cast<unsigned>(number->get());
    }

    static std::string known_keys() {
        std::string keys = "id, id-file, count";
        for_each_setting([&](const auto& setting) { keys += std::string(", ") + setting.field; });
        return keys;
    }

    std::string place(const toml::source_region& at) const {
        return path_ + ":" + std::to_string(at.begin.line) + ": pool";
    }

    const std::string& path_;
    const Refuse& refuse_;
    std::set<std::string> names_;
    std::set<PoolId> ids_;
    /// Keys so far that mean nothing.
    std::size_t unknown_ = 0;
};

}  // namespace

std::vector<DeclaredPool> read_pools(const toml::array& pools, const std::string& path,
                                     const Refuse& refuse) {
    return PoolReader(path, refuse).read_all(pools);
}

}  // namespace sema
