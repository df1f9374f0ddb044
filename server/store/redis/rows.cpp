#include "server/store/redis/rows.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace sema::redis {
namespace {

class RowWriter {
  public:
    explicit RowWriter(std::string& row) : row_(row) { row_.clear(); }

    template <class Number>
    RowWriter& number(Number number) {
        char digits[24];
        row_.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
        row_ += ' ';
        return *this;
    }
    RowWriter& flag(bool flag) { return number(flag ? 1 : 0); }
    RowWriter& time(TimePoint time) { return number(time.time_since_epoch().count()); }
    RowWriter& optional_time(const std::optional<TimePoint>& moment) {
        if (moment) return time(*moment);
        return none();
    }
    RowWriter& lease(const LeaseId& lease) {
        row_ += lease.str();
        row_ += ' ';
        return *this;
    }
    RowWriter& text(std::string_view text) {
        number(text.size());
        row_ += text;
        row_ += ' ';
        return *this;
    }
    RowWriter& optional_text(const std::optional<std::string>& words) {
        if (words) return text(*words);
        return none();
    }
    /// A setting's.
    RowWriter& value(bool value) { return flag(value); }
    RowWriter& value(const std::string& value) { return text(value); }
    RowWriter& value(Duration value) { return number(value.count()); }
    RowWriter& value(const std::vector<Payload>& value) {
        number(value.size());
        for (const Payload& payload : value)
            text(payload);
        return *this;
    }
    RowWriter& holder(const std::shared_ptr<const Holder>& holder) {
        if (!holder) return none();
        return flag(true).optional_text(holder->name).optional_text(holder->url);
    }

  private:
    RowWriter& none() {
        row_ += "- ";
        return *this;
    }

    std::string& row_;
};

/// Reads what RowWriter wrote. After the first thing that is not as it should be, whatever it returns means
/// nothing, and is_whole() is false.
class RowReader {
  public:
    explicit RowReader(std::string_view row) : rest_(row) {}

    template <class Number>
    Number number() {
        const auto value = parse_number<Number>(word());
        if (!value) good_ = false;
        return value.value_or(0);
    }
    bool flag() {
        const auto value = number<unsigned>();
        if (value > 1) good_ = false;
        return value == 1;
    }
    TimePoint time() { return TimePoint(Duration(number<Duration::rep>())); }
    std::optional<TimePoint> optional_time() {
        if (is_none()) return std::nullopt;
        return time();
    }
    LeaseId lease() {
        const auto id = LeaseId::parse(word());
        if (!id) good_ = false;
        return id.value_or(LeaseId());
    }
    std::string text() {
        const auto size = number<std::size_t>();
        if (!good_ || size >= rest_.size() || rest_[size] != ' ') {
            good_ = false;
            return {};
        }
        std::string text(rest_.substr(0, size));
        rest_.remove_prefix(size + 1);
        return text;
    }
    std::optional<std::string> optional_text() {
        if (is_none()) return std::nullopt;
        return text();
    }
    /// Of a setting's type.
    void read(bool& value) { value = flag(); }
    void read(std::string& value) { value = text(); }
    void read(Duration& value) { value = Duration(number<Duration::rep>()); }
    void read(std::vector<Payload>& value) {
        for (auto left = number<std::size_t>(); left > 0 && good_; --left)
            value.push_back(text());
    }
    std::shared_ptr<const Holder> holder() {
        if (is_none()) return nullptr;
        if (!flag()) good_ = false;
        auto name = optional_text();
        auto url = optional_text();
        return std::make_shared<const Holder>(Holder{std::move(name), std::move(url)});
    }

    /// Nothing follows.
    bool is_whole() const { return good_ && rest_.empty(); }

  private:
    std::string_view word() {
        const auto end = rest_.find(' ');
        if (end == rest_.npos) {
            good_ = false;
            return {};
        }
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

std::optional<HeldSlot> read_slot(std::string_view field, std::string_view row) {
    HeldSlot slot;
    const auto position = parse_number<Position>(field.substr(1));
    RowReader reader(row);
    slot.lease = reader.lease();
    slot.granted_at = reader.time();
    slot.expires_at = reader.time();
    slot.ttl = Duration(reader.number<Duration::rep>());
    slot.fence = reader.number<std::uint64_t>();
    slot.chosen = reader.flag();
    slot.told = reader.number<unsigned>();
    slot.full_end = reader.optional_time();
    slot.server = ServerId{reader.number<std::uint64_t>()};
    slot.holder = reader.holder();
    if (!position || !reader.is_whole()) return std::nullopt;
    slot.position = *position;
    return slot;
}

std::optional<KeptPlace> read_place(std::string_view field, std::string_view row) {
    KeptPlace place;
    const auto lease = LeaseId::parse(field.substr(1));
    RowReader reader(row);
    place.priority = reader.number<int>();
    place.arrival = reader.number<std::uint64_t>();
    place.slots = reader.number<unsigned>();
    place.queued_at = reader.time();
    place.chosen = reader.flag();
    place.server = ServerId{reader.number<std::uint64_t>()};
    place.deadline = reader.time();
    place.cancelled = reader.flag();
    place.holder = reader.holder();
    if (!lease || !reader.is_whole()) return std::nullopt;
    place.lease = *lease;
    return place;
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

std::shared_ptr<const PoolSettings> read_settings(std::string_view row) {
    PoolSettings settings;
    RowReader reader(row);
    for_each_setting_in_row([&](const auto& setting) {
        const bool may_be_absent = setting.row_place >= fewest_settings;
        if (!may_be_absent || !reader.is_whole()) reader.read(settings.*setting.value);
    });
    if (!reader.is_whole()) return nullptr;
    return std::make_shared<const PoolSettings>(std::move(settings));
}

/// Takes field after field of a pool's hash.
class PoolReader {
  public:
    /// False for a field that is not as it should be.
    bool take(std::string_view field, std::string_view value) {
        if (field.empty()) return false;
        switch (field.front()) {
            case 's':
                return put(record_.slots, read_slot(field, value));
            case 'p':
                return put(record_.places, read_place(field, value));
            default:
                return field.size() == 1 && take_single(field.front(), value);
        }
    }

    /// Nothing where something is missing.
    std::optional<StoredPool> result() && {
        if (!fence_) fence_ = 0;
        if (record_.version == 0) {
            const bool bare = !count_ && born_.empty() && record_.slots.empty() && record_.places.empty() &&
                              !record_.settings;
            if (!bare) return std::nullopt;
            return StoredPool{Absent{*fence_}, std::move(guard_), {}};
        }
        if (!count_ || born_.empty()) return std::nullopt;
        record_.count = *count_;
        record_.fence = *fence_;
        std::sort(record_.slots.begin(), record_.slots.end(),
                  [](const HeldSlot& a, const HeldSlot& b) { return a.position < b.position; });
        return StoredPool{std::move(record_), std::move(guard_), std::move(born_)};
    }

  private:
    template <class Row>
    static bool put(std::vector<Row>& rows, std::optional<Row> row) {
        if (row) rows.push_back(*std::move(row));
        return row.has_value();
    }

    bool take_single(char field, std::string_view value) {
        switch (field) {
            case 'v':
                record_.version = parse_number<Version>(value).value_or(0);
                return record_.version != 0;
            case 'c':
                return (count_ = parse_number<unsigned>(value)).has_value();
            case 'f':
                return (fence_ = parse_number<std::uint64_t>(value)).has_value();
            case 'b':
                born_ = value;
                return true;
            // Whose turn it is: the script's own.
            case 'r':
                return true;
            case 'g':
                guard_ = value;
                return true;
            case 't':
                return (record_.settings = read_settings(value)) != nullptr;
            default:
                return false;
        }
    }

    PoolRecord record_;
    std::optional<unsigned> count_;
    std::optional<std::uint64_t> fence_;
    std::string guard_;
    std::string born_;
};

}  // namespace

std::string hex(std::uint64_t number) {
    char digits[16];
    const char* end = std::to_chars(digits, digits + sizeof digits, number, 16).ptr;
    const std::string_view text(digits, static_cast<std::size_t>(end - digits));
    return std::string(sizeof digits - text.size(), '0').append(text);
}

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}
template std::optional<int> parse_number(std::string_view);
template std::optional<std::uint16_t> parse_number(std::string_view);
template std::optional<unsigned> parse_number(std::string_view);
template std::optional<std::int64_t> parse_number(std::string_view);
template std::optional<std::uint64_t> parse_number(std::string_view);

std::string slot_field(Position position) {
    return "s" + std::to_string(position);
}

std::string place_field(const LeaseId& lease) {
    return "p" + lease.str();
}

void write_row(const HeldSlot& slot, std::string& row) {
    RowWriter(row)
        .lease(slot.lease)
        .time(slot.granted_at)
        .time(slot.expires_at)
        .number(slot.ttl.count())
        .number(slot.fence)
        .flag(slot.chosen)
        .number(slot.told)
        .optional_time(slot.full_end)
        .number(static_cast<std::uint64_t>(slot.server))
        .holder(slot.holder);
}

void write_row(const KeptPlace& place, std::string& row) {
    RowWriter(row)
        .number(place.priority)
        .number(place.arrival)
        .number(place.slots)
        .time(place.queued_at)
        .flag(place.chosen)
        .number(static_cast<std::uint64_t>(place.server))
        .time(place.deadline)
        .flag(place.cancelled)
        .holder(place.holder);
}

void write_row(const PoolSettings& settings, std::string& row) {
    RowWriter writer(row);
    for_each_setting_in_row([&](const auto& setting) { writer.value(settings.*setting.value); });
}

StoredPool read_pool(const Reply& fields) {
    const auto damaged = [] {
        return StoredPool{StoreFailure{"what it holds of a pool is damaged, or of another format: restore it "
                                       "from a backup, or use another database"},
                          {},
                          {}};
    };
    if (!fields.is_array() || fields.size() % 2 != 0) return damaged();
    PoolReader reader;
    for (std::size_t i = 0; i < fields.size(); i += 2) {
        const Reply field = fields[i];
        const Reply value = fields[i + 1];
        if (!field.text() || !value.text() || !reader.take(*field.text(), *value.text())) return damaged();
    }
    auto pool = std::move(reader).result();
    return pool ? *std::move(pool) : damaged();
}

}  // namespace sema::redis
