// Making and issuing certificates.
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>

#include "net/tls_identity.h"

namespace agentrouter::net {

namespace {

struct OpensslFree {
  void operator()(BIO* one) const { BIO_free(one); }
  void operator()(X509* one) const { X509_free(one); }
  void operator()(EVP_PKEY* one) const { EVP_PKEY_free(one); }
  void operator()(X509_EXTENSION* one) const { X509_EXTENSION_free(one); }
};
template <class T>
using Owned = std::unique_ptr<T, OpensslFree>;

constexpr long hour_seconds = 3600;
constexpr long day_seconds = 24 * hour_seconds;
constexpr long x509_version_3 = 2;

tl::unexpected<base::Error> openssl_failed(const std::string& action, base::Code code) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return base::fail(code, action + ": " + text.data());
}

bool extend(X509* certificate, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_serial(X509* certificate) {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);
  std::unique_ptr<BIGNUM, decltype(&BN_free)> number(BN_bin2bn(bytes.data(), bytes.size(), nullptr), BN_free);
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_name(X509_NAME* name, const char* field, const std::string& value) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(value.data());
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, bytes, static_cast<int>(value.size()), -1, 0) ==
         1;
}

Owned<X509> self_signed(const std::string& name, unsigned days, EVP_PKEY* key) {
  Owned<X509> made(X509_new());
  if (!made || X509_set_version(made.get(), x509_version_3) != 1 || !set_serial(made.get())) return nullptr;
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -hour_seconds);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), day_seconds * static_cast<long>(days));
  auto* subject = X509_get_subject_name(made.get());
  const bool good = X509_set_pubkey(made.get(), key) == 1 && set_name(subject, "CN", name) &&
                    X509_set_issuer_name(made.get(), subject) == 1 &&
                    extend(made.get(), made.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    extend(made.get(), made.get(), NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    extend(made.get(), made.get(), NID_subject_key_identifier, "hash") &&
                    X509_sign(made.get(), key, EVP_sha256()) > 0;
  return good ? std::move(made) : nullptr;
}

bool is_host_text(const std::string& host) {
  constexpr std::size_t max_host_bytes = 253;
  return !host.empty() && host.size() <= max_host_bytes && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

std::string alternative_name(const std::string& host) {
  boost::system::error_code not_numeric;
  boost::asio::ip::make_address(host, not_numeric);
  return (not_numeric ? "critical,DNS:" : "critical,IP:") + host;
}

template <class T, class Read>
Owned<T> read_pem(std::string_view text, Read read) {
  const Owned<BIO> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  return Owned<T>(bio ? read(bio.get(), nullptr, nullptr, nullptr) : nullptr);
}

}  // namespace

Result<std::string> make_certificate_authority(const std::string& name, unsigned days,
                                               const std::function<void(std::string_view key)>& take_key) {
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const Owned<X509> made = key ? self_signed(name, days, key.get()) : nullptr;
  const Owned<BIO> certificate(BIO_new(BIO_s_mem()));
  const Owned<BIO> secret(BIO_new(BIO_s_mem()));  // wiped when it is freed
  if (!made || !certificate || !secret || PEM_write_bio_X509(certificate.get(), made.get()) != 1 ||
      PEM_write_bio_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return openssl_failed("cannot make a certificate authority", base::Code::internal);
  char* bytes = nullptr;
  const auto secret_bytes = BIO_get_mem_data(secret.get(), &bytes);
  take_key({bytes, static_cast<std::size_t>(secret_bytes)});
  const auto size = BIO_get_mem_data(certificate.get(), &bytes);
  return std::string(bytes, static_cast<std::size_t>(size));
}

struct CertificateIssuer::Parts {
  Owned<X509> certificate;
  Owned<EVP_PKEY> key;
  Owned<EVP_PKEY> leaf_key;
};

CertificateIssuer::CertificateIssuer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
CertificateIssuer::CertificateIssuer(CertificateIssuer&&) noexcept = default;
CertificateIssuer& CertificateIssuer::operator=(CertificateIssuer&&) noexcept = default;
CertificateIssuer::~CertificateIssuer() = default;

Result<CertificateIssuer> CertificateIssuer::load(std::string_view certificate, std::string_view key) {
  auto parts = std::make_unique<Parts>();
  parts->certificate = read_pem<X509>(certificate, PEM_read_bio_X509);
  parts->key = read_pem<EVP_PKEY>(key, PEM_read_bio_PrivateKey);
  if (!parts->certificate || !parts->key)
    return openssl_failed("cannot read a certificate authority", base::Code::invalid);
  if (X509_check_ca(parts->certificate.get()) != 1 ||
      X509_check_private_key(parts->certificate.get(), parts->key.get()) != 1) {
    ERR_clear_error();
    return base::fail(base::Code::invalid, "cannot use a certificate authority: it is none, or its key is another");
  }
  parts->leaf_key.reset(EVP_EC_gen("P-256"));
  if (!parts->leaf_key) return openssl_failed("cannot make a key", base::Code::internal);
  return CertificateIssuer(std::move(parts));
}

Result<std::shared_ptr<const TlsIdentity>> CertificateIssuer::issue(const std::string& host) const {
  if (!is_host_text(host))
    return base::fail(base::Code::invalid, "cannot issue a certificate for \"" + host + "\": not a host name");
  auto* signer = parts_->certificate.get();
  const Owned<X509> made(X509_new());
  const bool good =
      made && X509_set_version(made.get(), x509_version_3) == 1 && set_serial(made.get()) &&
      X509_set1_notBefore(made.get(), X509_get0_notBefore(signer)) == 1 &&
      X509_set1_notAfter(made.get(), X509_get0_notAfter(signer)) == 1 &&
      X509_set_pubkey(made.get(), parts_->leaf_key.get()) == 1 &&
      X509_set_issuer_name(made.get(), X509_get_subject_name(signer)) == 1 &&
      extend(made.get(), signer, NID_basic_constraints, "critical,CA:FALSE") &&
      extend(made.get(), signer, NID_key_usage, "critical,digitalSignature") &&
      extend(made.get(), signer, NID_ext_key_usage, "serverAuth") &&
      extend(made.get(), signer, NID_subject_alt_name, alternative_name(host)) &&
      extend(made.get(), signer, NID_subject_key_identifier, "hash") &&
      extend(made.get(), signer, NID_authority_key_identifier, "keyid:always") &&
      X509_sign(made.get(), parts_->key.get(), EVP_sha256()) > 0;
  if (!good) return openssl_failed("cannot issue a certificate for " + host, base::Code::internal);
  auto native = TlsIdentity::Native::create(made.get(), parts_->leaf_key.get());
  if (!native) return openssl_failed("cannot use the certificate of " + host, base::Code::internal);
  return std::make_shared<const TlsIdentity>(std::move(native));
}

}  // namespace agentrouter::net
