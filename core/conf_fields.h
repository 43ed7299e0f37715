/*
 * core/conf_fields.h - the members of an option struct; see core/conf.h.
 *
 * No include guard: include it inside the braces of a struct, with CONF_DEF defined as the name of
 * the .def file. It undefines CONF_DEF and its own macros.
 */
#ifndef CORE_CONF_H
#error "include core/conf.h first"
#endif

#define CONF_CTYPE_COUNT   uint32_t
#define CONF_CTYPE_INT     int64_t
#define CONF_CTYPE_SIZE    uint64_t
#define CONF_CTYPE_SIZE_KB uint64_t
#define CONF_CTYPE_SECONDS int64_t
#define CONF_CTYPE_USEC    int64_t
#define CONF_CTYPE_BOOL    bool
#define CONF_CTYPE_CHAR    char
#define CONF_CTYPE_STRING  const char *
#define CONF_CTYPE_FILE    const char *
#define CONF_CTYPE_PATH    const char *
#define CONF_CTYPE_DIR     const char *
#define CONF_CTYPE_USER    const char *
#define CONF_CTYPE_GROUP   const char *
#define CONF_CTYPE_ADDR    const char *
#define CONF_CTYPE_LIST    struct conf_list

#define OPT(field, name, type, def, min, max, applies, help)       CONF_CTYPE_##type field;
#define ENUM_OPT(field, name, values, def, applies, help)          unsigned field;
#define FLAGS_OPT(field, name, values, def, applies, help)         uint64_t field;
#define SECTION_OPT(field, name, item, max, naming, applies, help) struct conf_array field;

#include CONF_DEF

#undef OPT
#undef ENUM_OPT
#undef FLAGS_OPT
#undef SECTION_OPT
#undef CONF_DEF
