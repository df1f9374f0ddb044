#include "client/events.hpp"

#include <utility>

namespace sema {

bool EventParser::feed(std::string_view bytes) {
    while (!bytes.empty()) {
        if (std::exchange(after_cr_, false) && bytes.front() == '\n') bytes.remove_prefix(1);
        const auto end = bytes.find_first_of("\r\n");
        const std::string_view part = bytes.substr(0, end);
        if (line_.size() + part.size() > longest_) return false;
        line_ += part;
        if (end == std::string_view::npos) break;
        after_cr_ = bytes[end] == '\r';
        bytes.remove_prefix(end + 1);
        if (!end_line()) return false;
    }
    return true;
}

std::optional<ServerEvent> EventParser::next() {
    if (events_.empty()) return std::nullopt;
    ServerEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
}

bool EventParser::end_line() {
    std::string_view line = line_;
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    if (std::exchange(at_begin_, false) && line.substr(0, byte_order_mark.size()) == byte_order_mark)
        line.remove_prefix(byte_order_mark.size());
    bool fits = true;
    if (line.empty()) {
        dispatch();
    } else if (const auto colon = line.find(':'); colon != 0) {
        std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
        if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
        fits = take_field(line.substr(0, colon), value);
    }
    line_.clear();
    return fits;
}

bool EventParser::take_field(std::string_view name, std::string_view value) {
    if (name == "event") name_ = value;
    if (name != "data") return true;
    if (data_.size() + value.size() >= longest_ && has_data_) return false;
    if (std::exchange(has_data_, true)) data_ += '\n';
    data_ += value;
    return true;
}

void EventParser::dispatch() {
    if (has_data_) events_.push_back({name_.empty() ? "message" : std::move(name_), std::move(data_)});
    name_.clear();
    data_.clear();
    has_data_ = false;
}

}  // namespace sema
