#pragma once

#include <CLI/Formatter.hpp>
#include <CLI/Option.hpp>

#include <string>

namespace sema {

/// Writes help for people: an option's value has a name, and what is said of it is all in its description.
class HelpFormatter : public CLI::Formatter {
  public:
    std::string make_option_opts(const CLI::Option* option) const override {
        const std::string type = option->get_type_name();
        // What follows a colon are the values that a check lets through.
        return type.empty() ? "" : " " + type.substr(0, type.find(':'));
    }
};

}  // namespace sema
