#pragma once

#include "common/closest_word.hpp"

#include <CLI/App.hpp>
#include <CLI/Error.hpp>
#include <CLI/Option.hpp>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sema {

/// What another program calls a command, and what is meant by that here.
using Synonym = std::pair<std::string_view, std::string_view>;

/// A command line that the parser refused. The parser's own words for that take the arguments from the back,
/// and speak of the parser.
class Misuse {
  public:
    /// `words` are what `app` has read. All of it must outlive this object.
    Misuse(const CLI::App& app, const std::vector<std::string>& words, std::span<const Synonym> synonyms = {})
        : app_(app), words_(words), synonyms_(synonyms) {
        if (!app.get_subcommands().empty()) command_ = app.get_subcommands().front();
    }

    /// What is wrong with it.
    std::string describe(const CLI::ParseError& error) const {
        // Where an option is unknown, its value may have been taken for an argument, or be missed as one.
        const bool lacks = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
        if (lacks || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
            if (const std::string* word = first_unread(lacks)) return describe_unread(*word);
            if (const CLI::Option* option = lacks ? missing_argument() : nullptr)
                return of_command(option->get_name() +
                                  " is missing: " + in_sentence(option->get_description()));
        }
        if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
            const std::string text = error.what();
            const std::string name = text.substr(0, text.find_first_of(": "));
            if (const CLI::Option* option = find(name))
                return option->get_name() + ": " + describe_count(*option);
        }
        return error.what();
    }

  private:
    static bool has_hyphen(const std::string& word) { return word.size() > 1 && word.front() == '-'; }

    // Of one of the words. Behind `--` there are arguments only.
    bool is_option(const std::string& word) const {
        return has_hyphen(word) && std::find(words_.data(), &word, "--") == &word;
    }

    static std::string in_sentence(std::string text) {
        if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
        return text;
    }

    std::string program() const {
        return app_.get_name() + (command_ != nullptr ? " " + command_->get_name() : "");
    }

    std::string of_command(const std::string& text) const {
        return (command_ != nullptr ? command_->get_name() + ": " : "") + text;
    }

    const std::string* first_unread(bool option_only) const {
        const std::vector<std::string> unread = app_.remaining(true);
        const auto found = std::find_if(words_.begin(), words_.end(), [&](const std::string& word) {
            return word != "--" && (is_option(word) || !option_only) &&
                   std::find(unread.begin(), unread.end(), word) != unread.end();
        });
        return found != words_.end() ? &*found : nullptr;
    }

    std::string describe_unread(const std::string& word) const {
        const auto unknown = [&](const char* kind, const std::string& what, const std::string& meant) {
            const std::string advice = meant.empty() ? program() + " --help lists the " + kind + "s"
                                                     : "did you mean '" + meant + "'?";
            return of_command(std::string("unknown ") + kind + " '" + what + "' (" + advice + ")");
        };
        if (is_option(word)) {
            const std::string name = word.substr(0, word.find('='));
            return unknown("option", name, closest_option(name));
        }
        if (command_ == nullptr) return unknown("command", word, closest_command(word));
        const std::string place = has_hyphen(word) ? ", as it stands behind --" : "";
        return of_command("'" + word + "' is one argument too many" + place + " (" + program() +
                          " --help shows what it takes)");
    }

    std::string closest_command(const std::string& word) const {
        std::vector<std::string> names;
        for (const CLI::App* command : app_.get_subcommands(nullptr)) {
            names.push_back(command->get_name());
            const auto& aliases = command->get_aliases();
            names.insert(names.end(), aliases.begin(), aliases.end());
        }
        const auto synonym = std::find_if(synonyms_.begin(), synonyms_.end(),
                                          [&](const Synonym& entry) { return entry.first == word; });
        if (synonym != synonyms_.end()) return std::string(synonym->second);
        return closest_word(word, names);
    }

    std::string closest_option(const std::string& name) const {
        std::vector<std::string> names;
        for (const CLI::App* app : {command_, &app_}) {
            if (app == nullptr) continue;
            for (const CLI::Option* option : app->get_options(nullptr)) {
                const auto& own = option->get_lnames();
                names.insert(names.end(), own.begin(), own.end());
            }
        }
        const auto letters = std::min(name.find_first_not_of('-'), name.size());
        const std::string meant = closest_word(name.substr(letters), names);
        return meant.empty() ? "" : "--" + meant;
    }

    const CLI::Option* missing_argument() const {
        if (command_ == nullptr) return nullptr;
        const std::vector<const CLI::Option*> options = command_->get_options(nullptr);
        const auto missing = std::find_if(options.begin(), options.end(), [](const CLI::Option* option) {
            return option->get_required() && option->count() == 0;
        });
        return missing != options.end() ? *missing : nullptr;
    }

    // Of a flag the parser may leave out the hyphens.
    const CLI::Option* find(const std::string& name) const {
        for (const CLI::App* app : {command_, &app_}) {
            if (app == nullptr) continue;
            for (const CLI::Option* option : app->get_options(nullptr))
                if (option->check_name(name) || option->check_lname(name)) return option;
        }
        return nullptr;
    }

    static std::string describe_count(const CLI::Option& option) {
        if (option.get_expected_max() == 0) return "it takes no value";
        return option.count() > 1 ? "it is given more than once" : "its value is missing";
    }

    const CLI::App& app_;
    const std::vector<std::string>& words_;
    std::span<const Synonym> synonyms_;
    const CLI::App* command_ = nullptr;
};

}  // namespace sema
