#include "server/metrics/text.hpp"

namespace sema {
namespace {

// `number` in units of which `unit` make one, exactly.
std::string decimal(std::uint64_t number, std::uint64_t unit) {
    std::string text = std::to_string(number / unit);
    std::uint64_t rest = number % unit;
    if (rest == 0) return text;
    text += '.';
    for (std::uint64_t digit = unit / 10; rest > 0; digit /= 10) {
        text += static_cast<char>('0' + rest / digit);
        rest %= digit;
    }
    return text;
}

void escape(std::string& to, std::string_view value) {
    for (const char c : value) {
        if (c == '\\' || c == '"') to += '\\';
        if (c == '\n') {
            to += "\\n";
        } else {
            to += c;
        }
    }
}

constexpr std::uint64_t microseconds_per_second = 1'000'000;

}  // namespace

std::string label_value(std::string_view text) {
    std::string value;
    for (const char c : text) {
        const bool is_control = (c >= 0 && c < ' ' && c != '\n') || c == '\x7f';
        is_control ? value += "\xEF\xBF\xBD" : value += c;
    }
    return value;
}

void MetricsText::begin(std::string_view name, Kind kind, std::string_view help) {
    name_ = name;
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name);
    text_ += kind == Kind::counter ? " counter\n" : kind == Kind::gauge ? " gauge\n" : " histogram\n";
}

void MetricsText::add(Labels labels, std::uint64_t value) {
    sample("", labels, "", std::to_string(value));
}

void MetricsText::add_seconds(Labels labels, std::uint64_t microseconds) {
    sample("", labels, "", decimal(microseconds, microseconds_per_second));
}

void MetricsText::add(Labels labels, const HistogramCounts& counts, const std::vector<std::uint64_t>& bounds,
                      std::uint64_t unit) {
    // A histogram that nobody has counted with has no counts yet.
    std::uint64_t total = 0;
    for (std::size_t i = 0; i <= bounds.size(); ++i) {
        if (i < counts.counts.size()) total += counts.counts[i];
        sample("_bucket", labels, i < bounds.size() ? decimal(bounds[i], unit) : "+Inf",
               std::to_string(total));
    }
    sample("_sum", labels, "", decimal(counts.sum, unit));
    sample("_count", labels, "", std::to_string(total));
}

void MetricsText::sample(std::string_view suffix, Labels labels, std::string_view bound,
                         const std::string& value) {
    text_.append(name_).append(suffix);
    char separator = '{';
    const auto add_label = [&](std::string_view name, std::string_view label) {
        text_ += separator;
        text_.append(name).append("=\"");
        escape(text_, label);
        text_ += '"';
        separator = ',';
    };
    for (const auto& [name, label] : labels)
        add_label(name, label);
    if (!bound.empty()) add_label("le", bound);
    if (separator == ',') text_ += '}';
    text_.append(" ").append(value).append("\n");
}

}  // namespace sema
