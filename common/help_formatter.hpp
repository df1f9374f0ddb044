#pragma once

#include "common/wrapped_text.hpp"

#include <CLI/Formatter.hpp>
#include <CLI/Option.hpp>

#include <cstddef>
#include <string>

namespace sema {

/// Writes help for people: an option's value has a name, what is said of it is all in its description, and
/// lines are as long as the narrowest usual terminal has columns.
class HelpFormatter : public CLI::Formatter {
  public:
    std::string make_option_opts(const CLI::Option* option) const override {
        const std::string type = option->get_type_name();
        // What follows a colon are the values that a check lets through.
        return type.empty() ? "" : " " + type.substr(0, type.find(':'));
    }

    std::string make_option_desc(const CLI::Option* option) const override {
        return wrapped(Formatter::make_option_desc(option), columns - get_column_width());
    }

    std::string make_description(const CLI::App* app) const override {
        return wrapped(Formatter::make_description(app), columns);
    }

    std::string make_footer(const CLI::App* app) const override {
        return wrapped(Formatter::make_footer(app), columns);
    }

  private:
    static constexpr std::size_t columns = 80;
};

}  // namespace sema
