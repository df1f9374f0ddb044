#include "client/scheduler/task_mark.hpp"

#include "common/printable.hpp"

#include <boost/uuid/name_generator_sha1.hpp>

#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view task_scheme = "sema-task:";
constexpr std::string_view ask_scheme = "sema-ask:";
constexpr std::size_t longest_id = 200;
// The longest name that a holder may have.
constexpr std::size_t longest_name = 256;
// The lease of a task that is being started outlasts the start by this: a busy machine is slow to say that it
// is done.
constexpr auto start_slack = 10s;
// By this a lease whose task is started lasts longer than one could that is not: see SeenTask::is_started().
constexpr auto hold_slack = 15s;
// A start that may take longer than this has years.
constexpr Duration longest_call = longest_duration / 4;

bool is_plain(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

std::string percent_encoded(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string encoded;
    for (const char one : text) {
        const auto c = static_cast<unsigned char>(one);
        if (is_plain(c)) {
            encoded += one;
        } else {
            encoded += '%';
            encoded += digits[c >> 4];
            encoded += digits[c & 15];
        }
    }
    return encoded;
}

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += text[i];
            continue;
        }
        unsigned value = 0;
        if (i + 2 >= text.size()) return std::nullopt;
        const char* const end = text.data() + i + 3;
        if (std::from_chars(text.data() + i + 1, end, value, 16).ptr != end) return std::nullopt;
        decoded += static_cast<char>(value);
        i += 2;
    }
    return decoded;
}

// `HEAD?name=value&...` behind the scheme.
struct Parts {
    std::string head;
    std::map<std::string, std::string, std::less<>> values;

    std::string text(std::string_view name) const {
        const auto found = values.find(name);
        return found == values.end() ? "" : found->second;
    }
    std::optional<std::uint64_t> number(std::string_view name) const {
        const std::string value = text(name);
        std::uint64_t number = 0;
        const char* const end = value.data() + value.size();
        const auto read = std::from_chars(value.data(), end, number);
        if (value.empty() || read.ec != std::errc() || read.ptr != end) return std::nullopt;
        return number;
    }
};

std::optional<Parts> parse(std::string_view url, std::string_view scheme) {
    if (url.substr(0, scheme.size()) != scheme) return std::nullopt;
    url.remove_prefix(scheme.size());
    const std::size_t question = url.find('?');
    const auto head = percent_decoded(url.substr(0, question));
    if (!head) return std::nullopt;
    Parts parts{*head, {}};
    if (question == url.npos) return parts;
    url.remove_prefix(question + 1);
    while (!url.empty()) {
        const std::string_view pair = url.substr(0, url.find('&'));
        url.remove_prefix(std::min(pair.size() + 1, url.size()));
        const std::size_t equals = pair.find('=');
        if (equals == pair.npos) return std::nullopt;
        const auto value = percent_decoded(pair.substr(equals + 1));
        if (!value) return std::nullopt;
        parts.values.emplace(pair.substr(0, equals), *value);
    }
    return parts;
}

// The length of the UTF-8 character that `text` begins with; 0 where it begins with none.
std::size_t character_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    const std::size_t length = first < 0x80   ? 1
                               : first < 0xc2 ? 0
                               : first < 0xe0 ? 2
                               : first < 0xf0 ? 3
                               : first < 0xf5 ? 4
                                              : 0;
    if (length == 0 || length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    if (length < 3) return length;
    // Overlong forms, surrogates, and code points beyond the last one.
    const unsigned char second = byte(1);
    const bool is_wrong = (first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ||
                          (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90);
    return is_wrong ? 0 : length;
}

std::string cut(std::string text, std::size_t longest) {
    if (text.size() <= longest) return text;
    // Not within a character.
    while (longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xc0) == 0x80)
        --longest;
    text.resize(longest);
    return text;
}

std::uint64_t milliseconds(Duration time) {
    return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(time).count());
}

std::string_view word_of(TaskAsk::What what) {
    return what == TaskAsk::What::stop ? "stop" : "keepalive";
}

}  // namespace

LeaseId lease_of_task(const PoolId& pool, std::string_view task) {
    return LeaseId(boost::uuids::name_generator_sha1(pool.uuid())(task.data(), task.size()));
}

std::optional<std::string> fault_of_task_id(std::string_view text) {
    if (text.empty()) return "it is empty";
    if (text.size() > longest_id) return "it is longer than " + std::to_string(longest_id) + " bytes";
    for (std::size_t i = 0; i < text.size();) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c == '\n') return "it has several lines";
        if (c < 0x20 || c == 0x7f) return "it has a control character";
        const std::size_t length = character_length(text.substr(i));
        if (length == 0) return "it is not UTF-8";
        // Those of Latin-1's upper half: terminals heed them too.
        if (c == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0) return "it has a control character";
        i += length;
    }
    return std::nullopt;
}

std::chrono::seconds start_ttl(Duration call_limit) {
    return std::chrono::ceil<std::chrono::seconds>(std::min(call_limit, longest_call)) + start_slack;
}

std::chrono::seconds hold_margin(Duration call_limit) {
    return start_ttl(call_limit) + hold_slack;
}

Duration bounded_timeout(Duration timeout, Duration call_limit) {
    return std::min<Duration>(timeout, longest_duration - hold_margin(call_limit));
}

std::chrono::seconds hold_ttl(Duration timeout, Duration call_limit) {
    return std::chrono::ceil<std::chrono::seconds>(bounded_timeout(timeout, call_limit)) +
           hold_margin(call_limit);
}

Holder holder_of(const TaskMark& mark) {
    return {.name = cut(printable(mark.backend + ": " + mark.id), longest_name),
            .url = std::string(task_scheme) + percent_encoded(mark.id) +
                   "?backend=" + percent_encoded(mark.backend) + "&by=" + percent_encoded(mark.by) +
                   (mark.instance.empty() ? "" : "&instance=" + percent_encoded(mark.instance)) +
                   (mark.is_handed_on ? "&lease=run" : "&lease=dispatch") +
                   "&timeout_ms=" + std::to_string(milliseconds(mark.timeout)) +
                   "&hold_ms=" + std::to_string(milliseconds(mark.hold))};
}

std::optional<TaskMark> mark_of_task(const Holder& holder) {
    const auto parts = parse(holder.url.value_or(""), task_scheme);
    if (!parts || fault_of_task_id(parts->head)) return std::nullopt;
    const auto timeout = parts->number("timeout_ms");
    const auto hold = parts->number("hold_ms");
    constexpr std::uint64_t longest = longest_duration / 1ms;
    if (!timeout || !hold || *hold > longest || *timeout > *hold) return std::nullopt;
    return TaskMark{.id = parts->head,
                    .backend = parts->text("backend"),
                    .by = parts->text("by"),
                    .instance = parts->text("instance"),
                    .is_handed_on = parts->text("lease") == "run",
                    .timeout = std::chrono::milliseconds(*timeout),
                    .hold = std::chrono::milliseconds(*hold)};
}

Holder holder_of(const TaskAsk& ask) {
    const std::string word(word_of(ask.what));
    return {.name = cut(printable(word + ": " + ask.id), longest_name),
            .url = std::string(ask_scheme) + percent_encoded(ask.id) + "?what=" + word +
                   "&fence=" + std::to_string(ask.fence) + "&key=" + percent_encoded(ask.key)};
}

std::optional<TaskAsk> ask_of(const Holder& holder) {
    const auto parts = parse(holder.url.value_or(""), ask_scheme);
    if (!parts) return std::nullopt;
    const auto fence = parts->number("fence");
    const std::string word = parts->text("what");
    for (const auto what : {TaskAsk::What::stop, TaskAsk::What::keepalive}) {
        if (fence && word == word_of(what))
            return TaskAsk{.what = what, .id = parts->head, .fence = *fence, .key = parts->text("key")};
    }
    return std::nullopt;
}

bool SeenTask::is_started() const {
    // A claim is renewed for its start while it lasts, so a lease whose task is not started ends no later
    // than this after its grant; one whose task is, lasts for longer from then on.
    const auto longest_start = mark.margin() - hold_slack + claim_ttl + 1s;
    return mark.is_handed_on || std::chrono::seconds(expires_at_unix - granted_at_unix) > longest_start;
}

std::optional<std::int64_t> SeenTask::last_keepalive_unix() const {
    if (mark.is_handed_on) return std::nullopt;
    return std::max(granted_at_unix, expires_at_unix - whole_seconds(mark.hold));
}

std::optional<Duration> SeenTask::times_out_in() const {
    if (mark.is_handed_on) return std::nullopt;
    return std::max<Duration>(std::chrono::seconds(expires_in) - mark.margin(), 0s);
}

std::string line_of(const SeenTask& task) {
    return std::to_string(task.fence) + " " + std::to_string(task.position) + " " + *holder_of(task.mark).url;
}

std::optional<SeenTask> left_task(const std::string& line) {
    std::istringstream words(line);
    SeenTask task;
    std::string url;
    words >> task.fence >> task.position >> url;
    auto mark = mark_of_task({.name = {}, .url = url});
    if (!words || !mark) return std::nullopt;
    // None is left whose start was not over.
    task.expires_at_unix = whole_seconds(mark->hold);
    task.mark = std::move(*mark);
    return task;
}

TaskView view_tasks(const wire::PoolDetails& details) {
    TaskView view{.available = details.available,
                  .count = details.count,
                  .out = static_cast<unsigned>(details.out.size())};
    for (const auto& entry : details.holders) {
        auto mark = entry.holder ? mark_of_task(*entry.holder) : std::nullopt;
        if (!mark) continue;
        view.tasks.push_back({.mark = std::move(*mark),
                              .position = entry.position,
                              .fence = entry.fence,
                              .granted_at_unix = entry.granted_at_unix,
                              .expires_at_unix = entry.expires_at_unix,
                              .expires_in = entry.expires_in});
    }
    for (const auto& entry : details.queue) {
        if (auto ask = entry.holder ? ask_of(*entry.holder) : std::nullopt) {
            view.asks.push_back(std::move(*ask));
        } else if (auto mark = entry.holder ? mark_of_task(*entry.holder) : std::nullopt) {
            view.queued.push_back({.mark = std::move(*mark), .is_away = entry.away});
        } else {
            view.others_wait = true;
            view.others_are_ready =
                view.others_are_ready || (!entry.away && entry.slots + view.out <= view.count);
        }
    }
    return view;
}

}  // namespace sema
