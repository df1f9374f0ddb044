#include "server/reload.hpp"

#include <set>

namespace sema {

std::vector<std::string> changed_but_kept(const Options& before, const Options& after) {
    std::set<std::string> names;
    for (const auto* values : {&before.kept, &after.kept}) {
        for (const auto& [name, texts] : *values) {
            const auto old = before.kept.find(name);
            const auto now = after.kept.find(name);
            const bool is_same =
                old != before.kept.end() && now != after.kept.end() && old->second == now->second;
            if (!is_same) names.insert(name);
        }
    }
    return {names.begin(), names.end()};
}

}  // namespace sema
