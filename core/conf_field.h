/*
 * core/conf_field.h - the fields of an option struct by their table: size, text, comparison, copy.
 *
 * Owner:  the thread that owns the structs.
 * Memory: texts and copies live in the arena of the report that is passed.
 */
#ifndef CORE_CONF_FIELD_H
#define CORE_CONF_FIELD_H
#include "core/conf_report.h"

/* Bytes of the struct member of an option. */
size_t conf_field_size(const struct conf_option *o);

/* The value as it could stand in a file: `64MB`, `"text"`, `{ a, b }`. NULL: not set. Not SECTION.
 */
const char *conf_field_text(struct conf_report *r, const struct conf_option *o, const void *field);

/* True when both have the same value; any type. */
bool conf_field_equal(const struct conf_option *o, const void *a, const void *b);

/* Copies with all it points to; any type. */
void conf_field_copy(struct conf_report *r, const struct conf_option *o, void *to,
		     const void *from);

#endif
