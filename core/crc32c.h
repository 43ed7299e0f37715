/*
 * core/crc32c.h - CRC-32C (Castagnoli, RFC 3720 B.4), by the processor where it can.
 */
#ifndef CORE_CRC32C_H
#define CORE_CRC32C_H
#include <stddef.h>
#include <stdint.h>

/* Goes on with crc (0 at first) over n bytes. Any thread. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

#endif
