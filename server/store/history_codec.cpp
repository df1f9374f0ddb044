#include "server/store/history_codec.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace sema {
namespace {

constexpr char form = 1;
// No lease has more, whatever is read.
constexpr std::uint64_t most_positions = 1'000'000;

void put(std::uint64_t number, std::string& bytes) {
    for (; number >= 0x80; number >>= 7)
        bytes += static_cast<char>((number & 0x7f) | 0x80);
    bytes += static_cast<char>(number);
}

void put_time(Duration time, std::string& bytes) {
    put(static_cast<std::uint64_t>(std::max<Duration::rep>(time.count(), 0)), bytes);
}

void put(const std::optional<std::string>& text, std::string& bytes) {
    put(text ? text->size() + 1 : 0, bytes);
    if (text) bytes += *text;
}

/// After the first thing that is not as it should be, whatever it returns means nothing.
class Reader {
  public:
    explicit Reader(std::string_view& rest) : rest_(rest) {}

    bool is_good() const { return good_; }

    char byte() {
        if (rest_.empty()) {
            good_ = false;
            return 0;
        }
        const char first = rest_.front();
        rest_.remove_prefix(1);
        return first;
    }
    std::uint64_t number(std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
        std::uint64_t number = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto part = static_cast<unsigned char>(byte());
            number |= std::uint64_t{part & 0x7fU} << shift;
            if ((part & 0x80) == 0) {
                good_ = good_ && number <= most;
                return good_ ? number : 0;
            }
        }
        good_ = false;
        return 0;
    }
    Duration time() {
        return Duration(static_cast<Duration::rep>(number(std::numeric_limits<std::int64_t>::max())));
    }
    unsigned small() { return static_cast<unsigned>(number(std::numeric_limits<unsigned>::max())); }
    std::optional<std::string> text() {
        const std::uint64_t size = number();
        if (size == 0) return std::nullopt;
        if (size - 1 > rest_.size()) {
            good_ = false;
            return std::nullopt;
        }
        std::string text(rest_.substr(0, size - 1));
        rest_.remove_prefix(size - 1);
        return text;
    }

  private:
    std::string_view& rest_;
    bool good_ = true;
};

}  // namespace

void append_bytes(const HistoryEntry& entry, std::string& bytes) {
    bytes += form;
    bytes += static_cast<char>(entry.what);
    put_time(entry.at.time_since_epoch(), bytes);
    put_time(entry.held, bytes);
    put_time(entry.waited, bytes);
    const unsigned distance = static_cast<unsigned>(std::abs(entry.priority));
    put(entry.priority < 0 ? 2 * distance - 1 : 2 * distance, bytes);
    put(entry.fence, bytes);
    put(entry.slots, bytes);
    put(entry.positions.size(), bytes);
    Position before = 0;
    for (const Position position : entry.positions)
        put(position - std::exchange(before, position), bytes);
    put(entry.count_before, bytes);
    put(entry.count, bytes);
    put(entry.holder ? entry.holder->name : std::nullopt, bytes);
    put(entry.holder ? entry.holder->url : std::nullopt, bytes);
}

std::optional<HistoryEntry> take_entry(std::string_view& bytes) {
    Reader reader(bytes);
    if (reader.byte() != form) return std::nullopt;
    const auto what = static_cast<HistoryEntry::What>(reader.byte());
    if (what > HistoryEntry::What::resized) return std::nullopt;
    HistoryEntry entry{.what = what, .at = TimePoint(reader.time()), .held = reader.time()};
    entry.waited = reader.time();
    const unsigned priority = reader.small() & 0xffffU;
    entry.priority = priority % 2 == 0 ? static_cast<int>(priority / 2) : -static_cast<int>(priority / 2) - 1;
    entry.fence = reader.number();
    entry.slots = reader.small();
    Position position = 0;
    for (auto left = reader.number(most_positions); left > 0 && reader.is_good(); --left) {
        position += reader.small();
        entry.positions.push_back(position);
    }
    entry.count_before = reader.small();
    entry.count = reader.small();
    Holder holder{reader.text(), reader.text()};
    if (!reader.is_good()) return std::nullopt;
    if (!(holder == Holder{})) entry.holder = std::make_shared<const Holder>(std::move(holder));
    return entry;
}

}  // namespace sema
