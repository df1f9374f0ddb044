#pragma once

#include <sstream>
#include <string>
#include <vector>

namespace sema::test {

/// The value of a metric's sample, as `sema_pool_grants_total{pool="vsim"}` names it, in Prometheus' text
/// format; empty where there is none.
inline std::string sample(const std::string& text, const std::string& name) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind(name + " ", 0) == 0) return line.substr(name.size() + 1);
    }
    return "";
}

/// The names of all metrics, in their order.
inline std::vector<std::string> metric_names(const std::string& text) {
    std::vector<std::string> names;
    std::istringstream lines(text);
    const std::string mark = "# TYPE ";
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind(mark, 0) == 0)
            names.push_back(line.substr(mark.size(), line.find(' ', mark.size()) - mark.size()));
    }
    return names;
}

}  // namespace sema::test
