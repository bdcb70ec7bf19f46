// Keys, certificates and TLS contexts. Trust is the digest of the public key, so certificates carry no other meaning.
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tls_link.h"
#include "tls_util.h"

namespace understudy {

namespace {

template <typename T, void (*F)(T*)>
struct Free {
  void operator()(T* each) const { F(each); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Free<X509, X509_free>>;
struct BioFree {
  void operator()(BIO* each) const { BIO_free_all(each); }
};
using BioPtr = std::unique_ptr<BIO, BioFree>;

constexpr unsigned char kAlpn[] = "\x0cunderstudy/1";

CertificatePtr read_certificate(const std::string& pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return CertificatePtr(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

std::string bio_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_len, const unsigned char* in, unsigned in_len,
                void*) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_len, kAlpn, sizeof kAlpn - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// Every certificate passes here; the caller compares the key's digest with the pinned one afterwards.
int accept_any(X509_STORE_CTX*, void*) { return 1; }

}  // namespace

SysError tls_error(const char* call) {
  const unsigned long code = ERR_get_error();
  char text[160] = "no detail";
  if (code != 0) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return SysError{EPROTO, std::string(call) + ": " + text};
}

std::string key_digest(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return {};
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_len = 0;
  EVP_Digest(der, static_cast<std::size_t>(size), digest, &digest_len, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  static const char kHex[] = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < digest_len; ++i) text += kHex[digest[i] >> 4], text += kHex[digest[i] & 15];
  return text;
}

Result<std::string> public_key_digest(const std::string& certificate_pem) {
  CertificatePtr certificate = read_certificate(certificate_pem);
  if (!certificate) return tls_error("PEM_read_bio_X509");
  return key_digest(certificate.get());
}

Result<PemIdentity> create_identity(const std::string& common_name) {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return tls_error("EVP_EC_gen");
  CertificatePtr certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  u64 serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  // Identity is the key: the dates are as wide as the format allows, so that no server stops on a birthday.
  ASN1_TIME_set_string_X509(X509_getm_notBefore(certificate.get()), "20000101000000Z");
  ASN1_TIME_set_string_X509(X509_getm_notAfter(certificate.get()), "99991231235959Z");
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.data()),
                             static_cast<int>(std::min<std::size_t>(common_name.size(), 64)), -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0) return tls_error("X509_sign");
  BioPtr key_bio(BIO_new(BIO_s_mem())), certificate_bio(BIO_new(BIO_s_mem()));
  if (!PEM_write_bio_PKCS8PrivateKey(key_bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr))
    return tls_error("PEM_write_bio_PKCS8PrivateKey");
  if (!PEM_write_bio_X509(certificate_bio.get(), certificate.get())) return tls_error("PEM_write_bio_X509");
  return PemIdentity{bio_text(key_bio.get()), bio_text(certificate_bio.get())};
}

Result<std::shared_ptr<TlsIdentity>> TlsIdentity::load(const std::string& key_pem, const std::string& certificate_pem) {
  BioPtr bio(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())));
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (!key) return tls_error("PEM_read_bio_PrivateKey");
  CertificatePtr certificate = read_certificate(certificate_pem);
  if (!certificate) return tls_error("PEM_read_bio_X509");
  auto identity = std::make_shared<TlsIdentity>();
  for (bool server : {true, false}) {
    SSL_CTX* context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    (server ? identity->server_ : identity->client_) = context;
    if (context == nullptr) return tls_error("SSL_CTX_new");
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_cert_verify_callback(context, accept_any, nullptr);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 128u << 10);
    SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY);
    if (server) SSL_CTX_set_alpn_select_cb(context, select_alpn, nullptr);
    else SSL_CTX_set_alpn_protos(context, kAlpn, sizeof kAlpn - 1);
    if (SSL_CTX_use_certificate(context, certificate.get()) != 1 || SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
        SSL_CTX_check_private_key(context) != 1)
      return tls_error("SSL_CTX_use_PrivateKey");
  }
  return identity;
}

TlsIdentity::~TlsIdentity() {
  SSL_CTX_free(server_);
  SSL_CTX_free(client_);
}

}  // namespace understudy
