#include "common/wrapped_text.hpp"

#include <algorithm>

namespace sema {
namespace {

void append_wrapped(std::string& text, std::string_view line, std::size_t columns) {
    while (line.size() > columns) {
        std::size_t end = line.rfind(' ', columns);
        if (end == std::string_view::npos) end = line.find(' ');
        if (end == std::string_view::npos) break;
        text.append(line.substr(0, end)).push_back('\n');
        line.remove_prefix(end + 1);
    }
    text.append(line);
}

}  // namespace

std::string wrapped(std::string_view text, std::size_t columns) {
    std::string result;
    while (true) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        line.starts_with(' ') ? void(result.append(line)) : append_wrapped(result, line, columns);
        if (end == text.size()) return result;
        result.push_back('\n');
        text.remove_prefix(end + 1);
    }
}

}  // namespace sema
