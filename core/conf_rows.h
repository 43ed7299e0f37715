/*
 * core/conf_rows.h - the table of an option struct; see core/conf.h.
 *
 * No include guard: include it at file level with CONF_ROWS (name of the table), CONF_STRUCT and
 * CONF_DEF defined; it undefines them. The tables of values and of items come before it.
 */
#ifndef CORE_CONF_H
#error "include core/conf.h first"
#endif

#define OPT(field, nam, typ, dflt, lo, hi, appl, text)                                             \
	{ .name = nam,                                                                             \
	  .type = CONF_##typ,                                                                      \
	  .applies = CONF_##appl,                                                                  \
	  .offset = offsetof(CONF_STRUCT, field),                                                  \
	  .def = dflt,                                                                             \
	  .min = lo,                                                                               \
	  .max = hi,                                                                               \
	  .help = text },
#define CONF_VALUES_ROW(field, nam, typ, table, dflt, appl, text)                                  \
	{ .name = nam,                                                                             \
	  .type = typ,                                                                             \
	  .applies = CONF_##appl,                                                                  \
	  .offset = offsetof(CONF_STRUCT, field),                                                  \
	  .def = dflt,                                                                             \
	  .values = table,                                                                         \
	  .help = text },
#define ENUM_OPT(field, nam, table, dflt, appl, text)                                              \
	CONF_VALUES_ROW(field, nam, CONF_ENUM, table, dflt, appl, text)
#define FLAGS_OPT(field, nam, table, dflt, appl, text)                                             \
	CONF_VALUES_ROW(field, nam, CONF_FLAGS, table, dflt, appl, text)
#define SECTION_OPT(field, nam, it, count, nami, appl, text)                                       \
	{ .name = nam,                                                                             \
	  .type = CONF_SECTION,                                                                    \
	  .applies = CONF_##appl,                                                                  \
	  .offset = offsetof(CONF_STRUCT, field),                                                  \
	  .max = count,                                                                            \
	  .rows = it##_rows,                                                                       \
	  .row_count = CONF_NELEM(it##_rows),                                                      \
	  .item_size = sizeof(struct it),                                                          \
	  .naming = CONF_##nami,                                                                   \
	  .help = text },

static const struct conf_option CONF_ROWS[] = {
#include CONF_DEF
};

#undef OPT
#undef CONF_VALUES_ROW
#undef ENUM_OPT
#undef FLAGS_OPT
#undef SECTION_OPT
#undef CONF_ROWS
#undef CONF_STRUCT
#undef CONF_DEF
