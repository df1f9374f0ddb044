#include "server/settings.hpp"

#include "tests/server/parsing.hpp"

#include <regex>

using namespace sema;
using namespace sema::test;

TEST_CASE("every setting of semad is in the man page of its file, with its key and its option") {
    const std::string page = content("man/semad.toml.5");
    for (const ServerSetting& setting : server_settings()) {
        CAPTURE(setting.name);
        const std::string key = setting.key.substr(setting.key.rfind('.') + 1);
        CHECK(std::regex_search(
            page, std::regex("\n\\.It Li " + key + " Ta [^\n]* Ta Fl -" + setting.name + "\n")));
        const auto dot = setting.key.find('.');
        if (dot != std::string::npos)
            CHECK_THAT(page, has_text("\n.Ss [" + setting.key.substr(0, dot) + "]\n"));
    }
}

TEST_CASE("no two settings have the same option or key") {
    std::set<std::string> names;
    std::set<std::string> keys;
    for (const ServerSetting& setting : server_settings()) {
        CHECK(names.insert(setting.name).second);
        CHECK(keys.insert(setting.key).second);
    }
}
