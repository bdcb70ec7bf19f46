// Shared by the tls_*.cc files only.
#pragma once

#include <openssl/ssl.h>

#include <string>

#include "base.h"

namespace understudy {

// The oldest queued OpenSSL error as EPROTO with its text; clears the queue.
SysError tls_error(const char* call);
// Hex SHA-256 of the public key (SPKI, DER).
std::string key_digest(X509* certificate);

}  // namespace understudy
