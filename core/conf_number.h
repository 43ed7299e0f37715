/*
 * core/conf_number.h - numbers, times and sizes of a configuration file, R 3.2.1.
 *
 * Owner: any thread; pure functions.
 */
#ifndef CORE_CONF_NUMBER_H
#define CORE_CONF_NUMBER_H
#include <stddef.h>
#include <stdint.h>

/* All return 0, -EINVAL for text that is not of the form, -ERANGE when it does not fit. */

/* Decimal, 0x hexadecimal, 0 octal; a minus sign in front is allowed. */
int conf_number_int(const char *s, int64_t *out);

/* Sequence of numbers with units, or one plain number in units of `plain` bytes or microseconds. */
int conf_number_size(const char *s, int64_t plain, int64_t *bytes);
int conf_number_time(const char *s, int64_t plain, int64_t *usec);

/* The shortest exact text: "64MB", "1000B", "0"; "5m 3s", "300us", "0". dst: CONF_NUMBER_TEXT
 * bytes. */
enum { CONF_NUMBER_TEXT = 128 };
const char *conf_number_size_text(uint64_t bytes, char *dst);
const char *conf_number_time_text(int64_t usec, char *dst);

#endif
