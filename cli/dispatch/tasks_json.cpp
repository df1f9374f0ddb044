#include "cli/dispatch/tasks_json.hpp"

#include <nlohmann/json.hpp>

namespace sema {

std::string tasks_json(const TaskView& view) {
    nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
    for (const SeenTask& task : view.tasks) {
        nlohmann::ordered_json entry = {{"slot", task.position},
                                        {"task", task.mark.id},
                                        {"backend", task.mark.backend},
                                        {"state", task.is_started() ? "running" : "starting"},
                                        {"since_unix", task.granted_at_unix},
                                        {"last_keepalive_unix", nullptr},
                                        {"times_out_in", nullptr},
                                        {"fence", task.fence}};
        if (const auto last = task.last_keepalive_unix(); last && task.is_started())
            entry["last_keepalive_unix"] = *last;
        if (const auto left = task.times_out_in(); left && task.is_started())
            entry["times_out_in"] = whole_seconds(*left);
        tasks.push_back(std::move(entry));
    }
    return nlohmann::ordered_json{
        {"count", view.count}, {"available", view.available}, {"out_of_service", view.out}, {"tasks", tasks}}
        .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace sema
