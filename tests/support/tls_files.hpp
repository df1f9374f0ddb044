#pragma once

#include <filesystem>
#include <string>

namespace sema::test {

/// The files of a certificate and of its key.
struct CertificateFiles {
    std::string certificate;
    std::string key;
};

/// An authority of a test's own. What it makes are files in one folder, in PEM, with elliptic keys.
class TestAuthority {
  public:
    /// Its files are called after its name, which must be another one for each authority in a folder.
    explicit TestAuthority(std::filesystem::path folder, std::string name = "authority");

    /// What clients trust.
    const std::string& certificate() const { return own_.certificate; }

    /// A certificate for this machine, as `localhost` and by its addresses on the loopback interface.
    CertificateFiles issue(const std::string& name) const;
    /// An authority whose certificate is this one's.
    TestAuthority delegate(const std::string& name) const;

  private:
    TestAuthority(std::filesystem::path folder, CertificateFiles own);

    std::filesystem::path folder_;
    CertificateFiles own_;
};

/// With one process: a certificate for this machine that is its own authority.
CertificateFiles make_certificate(const std::filesystem::path& folder, const std::string& name);

/// One whose time was over in 2020.
CertificateFiles make_expired_certificate(const std::filesystem::path& folder);

}  // namespace sema::test
