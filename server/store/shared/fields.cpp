#include "server/store/shared/fields.hpp"

#include "common/pool_settings.hpp"
#include "common/wire.hpp"
#include "server/store/shared/numbers.hpp"

#include <algorithm>
#include <charconv>
#include <tuple>
#include <type_traits>

namespace sema::shared {
namespace {

class RowWriter {
  public:
    explicit RowWriter(std::string& row) : row_(row) { row_.clear(); }

    template <class Number, std::enable_if_t<std::is_integral_v<Number>, bool> = true>
    RowWriter& operator()(Number number) {
        char digits[24];
        return word({digits, std::to_chars(digits, digits + sizeof digits, +number).ptr});
    }
    RowWriter& operator()(Duration time) { return (*this)(time.count()); }
    RowWriter& operator()(TimePoint time) { return (*this)(time.time_since_epoch()); }
    RowWriter& operator()(ServerId server) { return (*this)(static_cast<std::uint64_t>(server)); }
    RowWriter& operator()(const LeaseId& lease) { return word(lease.str()); }
    template <SettingWord Word>
    RowWriter& operator()(Word value) {
        return word(word_of(value));
    }
    RowWriter& operator()(const std::string& text) { return (*this)(text.size()).word(text); }
    template <class Value>
    RowWriter& operator()(const std::optional<Value>& value) {
        return value ? (*this)(*value) : word("-");
    }
    RowWriter& operator()(const std::shared_ptr<const Holder>& holder) {
        return holder ? (*this)(true)(holder->name)(holder->url) : word("-");
    }
    RowWriter& operator()(const std::shared_ptr<const std::string>& text) { return (*this)(*text); }
    RowWriter& operator()(const std::shared_ptr<const Delivery>& delivery) {
        (*this)(delivery->callback)(delivery->attempts)(delivery->next_attempt);
        return (*this)(delivery->last_error);
    }
    RowWriter& operator()(const std::vector<std::string>& texts) {
        (*this)(texts.size());
        for (const std::string& text : texts)
            (*this)(text);
        return *this;
    }

  private:
    RowWriter& word(std::string_view text) {
        row_.append(text) += ' ';
        return *this;
    }

    std::string& row_;
};

/// Reads what RowWriter wrote. After the first thing that is not as it should be, whatever it sets means
/// nothing.
class RowReader {
  public:
    explicit RowReader(std::string_view row) : rest_(row) {}

    /// All was as it should be, and nothing follows.
    bool is_whole() const { return good_ && rest_.empty(); }

    template <class Number, std::enable_if_t<std::is_integral_v<Number>, bool> = true>
    RowReader& operator()(Number& number) {
        return take(parse_number<Number>(word()), number);
    }
    RowReader& operator()(bool& flag) {
        unsigned number = 0;
        (*this)(number);
        flag = number == 1;
        good_ = good_ && number <= 1;
        return *this;
    }
    RowReader& operator()(Duration& time) {
        Duration::rep number = 0;
        (*this)(number);
        time = Duration(number);
        return *this;
    }
    RowReader& operator()(TimePoint& time) {
        Duration::rep since = 0;
        (*this)(since);
        time = TimePoint(Duration(since));
        return *this;
    }
    RowReader& operator()(ServerId& server) {
        std::uint64_t number = 0;
        (*this)(number);
        server = ServerId{number};
        return *this;
    }
    RowReader& operator()(LeaseId& lease) { return take(LeaseId::parse(word()), lease); }
    template <SettingWord Word>
    RowReader& operator()(Word& value) {
        return take(parse_word<Word>(word()), value);
    }
    RowReader& operator()(std::string& text) {
        std::size_t size = 0;
        (*this)(size);
        good_ = good_ && size < rest_.size() && rest_[size] == ' ';
        if (!good_) return *this;
        text = rest_.substr(0, size);
        rest_.remove_prefix(size + 1);
        return *this;
    }
    template <class Value>
    RowReader& operator()(std::optional<Value>& value) {
        return is_none() ? *this : (*this)(value.emplace());
    }
    RowReader& operator()(std::shared_ptr<const Holder>& holder) {
        if (is_none()) return *this;
        bool is_there = false;
        Holder read;
        (*this)(is_there)(read.name)(read.url);
        good_ = good_ && is_there;
        holder = std::make_shared<const Holder>(std::move(read));
        return *this;
    }
    RowReader& operator()(std::shared_ptr<const std::string>& text) {
        std::string read;
        (*this)(read);
        text = std::make_shared<const std::string>(std::move(read));
        return *this;
    }
    RowReader& operator()(std::shared_ptr<const Delivery>& delivery) {
        Delivery read;
        (*this)(read.callback)(read.attempts)(read.next_attempt)(read.last_error);
        delivery = std::make_shared<const Delivery>(std::move(read));
        return *this;
    }
    RowReader& operator()(std::vector<std::string>& texts) {
        std::size_t left = 0;
        for ((*this)(left); left > 0 && good_; --left)
            (*this)(texts.emplace_back());
        return *this;
    }

  private:
    template <class Value>
    RowReader& take(const std::optional<Value>& read, Value& value) {
        good_ = good_ && read;
        if (read) value = *read;
        return *this;
    }

    std::string_view word() {
        const auto end = rest_.find(' ');
        good_ = good_ && end != rest_.npos;
        if (!good_) return {};
        const std::string_view word = rest_.substr(0, end);
        rest_.remove_prefix(end + 1);
        return word;
    }

    bool is_none() {
        if (rest_.substr(0, 2) != "- ") return false;
        rest_.remove_prefix(2);
        return true;
    }

    std::string_view rest_;
    bool good_ = true;
};

// The parts of each row, in their order, for both.

template <class Part>
bool has_more(const RowWriter&, const Part& part) {
    return part != nullptr;
}
bool has_more(const RowWriter&, const HeldSlot& slot) {
    return slot.waited != Duration::zero() || slot.priority != 0 || slot.delivery;
}
template <class Part>
bool has_more(const RowReader& row, const Part&) {
    return !row.is_whole();
}

template <class Row, class Slot>
void slot_parts(Row& row, Slot& slot) {
    row(slot.lease)(slot.granted_at)(slot.expires_at)(slot.ttl)(slot.fence)(slot.chosen)(slot.answers);
    row(slot.full_end)(slot.server)(slot.holder);
    // The row of a lease without a wait ends here, as those of an earlier semad do.
    if (has_more(row, slot)) row(slot.waited)(slot.priority);
    if (has_more(row, slot.delivery)) row(slot.delivery);
}

template <class Row, class Place>
void place_parts(Row& row, Place& place) {
    row(place.priority)(place.arrival)(place.slots)(place.queued_at)(place.chosen)(place.server);
    row(place.deadline)(place.cancelled)(place.holder);
    if (has_more(row, place.callback)) row(place.callback)(place.ttl);
}

template <class Row, class Out>
void out_parts(Row& row, Out& out) {
    row(out.since)(out.reason);
}

template <class Visit>
void for_each_setting_in_row(Visit visit) {
    for (unsigned place = 0; place < std::tuple_size_v<decltype(pool_settings)>; ++place) {
        for_each_setting([&](const auto& setting) {
            if (setting.row_place == place) visit(setting);
        });
    }
}

// A row of an earlier semad has no more settings than there were then.
constexpr unsigned fewest_settings = 4;

template <class Row, class Settings>
void settings_parts(Row& row, Settings& settings) {
    for_each_setting_in_row([&](const auto& setting) {
        if constexpr (std::is_same_v<Row, RowReader>) {
            if (setting.row_place >= fewest_settings && row.is_whole()) return;
        }
        row(settings.*setting.value);
    });
}

template <class Row>
void add(std::string name, const Row& row, FieldChanges& fields, void (*parts)(RowWriter&, const Row&)) {
    fields.set.push_back(std::move(name));
    RowWriter writer(fields.set.emplace_back());
    parts(writer, row);
}

template <class Value>
bool put(const std::optional<Value>& read, Value& value) {
    if (read) value = *read;
    return read.has_value();
}

}  // namespace

FieldChanges fields_of(const Changes& changes) {
    FieldChanges fields;
    const auto add_number = [&](const char* name, auto number) {
        fields.set.emplace_back(name);
        fields.set.push_back(std::to_string(number));
    };
    if (changes.count) add_number("c", *changes.count);
    if (changes.fence) add_number("f", *changes.fence);
    if (changes.settings) add<PoolSettings>("t", *changes.settings, fields, settings_parts);
    for (const auto& [position, slot] : changes.slots) {
        std::string name = "s" + std::to_string(position);
        slot ? add(std::move(name), *slot, fields, slot_parts) : fields.removed.push_back(std::move(name));
    }
    if (changes.keeper == ServerId{}) fields.removed.emplace_back("k");
    if (changes.keeper && *changes.keeper != ServerId{})
        add_number("k", static_cast<std::uint64_t>(*changes.keeper));
    for (const auto& [lease, place] : changes.places) {
        std::string name = "p" + lease.str();
        place ? add(std::move(name), *place, fields, place_parts) : fields.removed.push_back(std::move(name));
    }
    for (const auto& [position, out] : changes.out) {
        std::string name = "o" + std::to_string(position);
        out ? add(std::move(name), *out, fields, out_parts) : fields.removed.push_back(std::move(name));
    }
    return fields;
}

bool PoolFields::take(std::string_view name, std::string_view value) {
    constexpr std::string_view keyed = "spo";
    if (name.empty() || (name.size() > 1) != (keyed.find(name.front()) != keyed.npos)) return false;
    RowReader row(value);
    switch (name.front()) {
        case 'c':
            return (count_ = parse_number<unsigned>(value)).has_value();
        case 'f':
            return put(parse_number<std::uint64_t>(value), record_.fence);
        case 'k': {
            std::uint64_t keeper = 0;
            const bool is_number = put(parse_number<std::uint64_t>(value), keeper);
            record_.keeper = ServerId{keeper};
            return is_number;
        }
        case 't': {
            const auto settings = std::make_shared<PoolSettings>();
            settings_parts(row, *settings);
            record_.settings = settings;
            // What is no JSON would go out in answers as it is.
            const auto is_payload = [](const Payload& text) { return wire::parse_payload(text).has_value(); };
            return row.is_whole() && settings->cooldown >= Duration::zero() &&
                   std::all_of(settings->payloads.begin(), settings->payloads.end(), is_payload);
        }
        case 's': {
            HeldSlot& slot = record_.slots.emplace_back();
            slot_parts(row, slot);
            return row.is_whole() && put(parse_number<Position>(name.substr(1)), slot.position);
        }
        case 'p': {
            KeptPlace& place = record_.places.emplace_back();
            place_parts(row, place);
            return row.is_whole() && put(LeaseId::parse(name.substr(1)), place.lease);
        }
        case 'o': {
            const auto position = parse_number<Position>(name.substr(1));
            if (!position) return false;
            out_parts(row, record_.out[*position]);
            return row.is_whole();
        }
        default:
            return false;
    }
}

std::optional<LoadResult> PoolFields::result(Version version) && {
    const bool bare = !count_ && record_.slots.empty() && record_.places.empty() && !record_.settings &&
                      record_.out.empty();
    if (version == 0) return bare ? std::optional<LoadResult>(Absent{record_.fence}) : std::nullopt;
    if (!count_) return std::nullopt;
    record_.version = version;
    record_.count = *count_;
    std::sort(record_.slots.begin(), record_.slots.end(),
              [](const HeldSlot& a, const HeldSlot& b) { return a.position < b.position; });
    return std::move(record_);
}

StoreFailure damaged() {
    return {
        "what it holds of a pool is damaged, or of another format: restore it from a backup, or use another "
        "database"};
}

}  // namespace sema::shared
