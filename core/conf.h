/*
 * core/conf.h - smx.conf: option tables, reading, checking, the command line of every program.
 *
 * Owner:  the thread that calls; nothing here is shared. Programs call it from main() before the
 *         first thread, and for a reload from the thread that owns the options.
 * Memory: a struct conf owns every string, list and array that it put into an option struct; they
 *         live until conf_free(). Tables are constant data.
 * Limits: file 1 MB, nesting 8, one string 8191 bytes, 20 errors are shown.
 *
 * An option is one row in FOLDER/PROCESS_options.def:
 *
 *   OPT(field, "Sub.name", TYPE, "default" or NULL, min, max, APPLIES, "One line of help.")
 *   ENUM_OPT(field, "Sub.name", value_table, "default" or NULL, APPLIES, "help")
 *   FLAGS_OPT(field, "Sub.name", value_table, "default, flags" or NULL, APPLIES, "help")
 *   SECTION_OPT(field, "Sub.name", item, max_count, NAMING, APPLIES, "help")
 *
 * TYPE       C type of the field      plain number is    min and max are
 *  COUNT     uint32_t                 that many          a count
 *  INT       int64_t                  itself             a number
 *  SIZE      uint64_t, bytes          bytes              bytes
 *  SIZE_KB   uint64_t, bytes          KB                 KB
 *  SECONDS   int64_t, microseconds    seconds            seconds
 *  USEC      int64_t, microseconds    microseconds       microseconds
 *  BOOL      bool                     0 or 1             not used
 *  CHAR      char                     -                  not used
 *  STRING    const char *             -                  bytes; max 0: no own limit
 *  FILE      const char *             -                  as STRING; a relative name is made
 *                                                        relative to the folder of the file given
 *                                                        with -f (maps, certificates; R 3.6)
 *  PATH      const char *             -                  as STRING; kept as it is, so relative to
 *                                                        the current directory (sockets)
 *  DIR       const char *             -                  as PATH (queue directories)
 *  USER      const char *             -                  not used; a name or a number
 *  GROUP     const char *             -                  not used; a name or a number
 *  ADDR      const char *             -                  not used; a valid IPv4 or IPv6 address
 *  LIST      struct conf_list         -                  number of items; max 0: no own limit
 * min and max are always in the unit that a plain number has in the file, and inclusive. The value
 * in the struct is in the unit of the second column: OPT(x, "x", SECONDS, "5m", 1, 3600, ...) gives
 * 300000000. A default is text as it would stand in the file; NULL: 0, false, NULL, an empty list.
 *
 * ENUM_OPT fills an unsigned, FLAGS_OPT a uint64_t, from a table of struct conf_value that ends
 * with a row without a name. The flags that a file gives are applied to the default flags.
 *
 * SECTION_OPT is a subsection that may be there up to max_count times; its field is a struct
 * conf_array of `struct ITEM`, which begins with `const char *name` (NULL when it has none) and
 * whose rows are the table ITEM_rows. NAMING is NAMED, UNNAMED or ANY_NAME.
 *
 * APPLIES:  RELOAD   a reload takes the new value
 *           RESTART  the next start takes it; a reload says so and keeps the old one
 *           LATER    the feature is not built: the row is parsed, checked, and warned about
 *
 * The same .def file gives struct members and table:
 *
 *   struct qmgr_options {                          -- queue/qmgr_options.h
 *   	struct conf_common common;                  -- must be first
 *   #define CONF_DEF "queue/qmgr_options.def"
 *   #include "core/conf_fields.h"
 *   };
 *
 *   #define CONF_ROWS qmgr_options_rows            -- queue/qmgr_options.c
 *   #define CONF_STRUCT struct qmgr_options
 *   #define CONF_DEF "queue/qmgr_options.def"
 *   #include "core/conf_rows.h"                    -- static const struct conf_option CONF_ROWS[]
 */
#ifndef CORE_CONF_H
#define CORE_CONF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_type {
	CONF_COUNT = 0,
	CONF_INT,
	CONF_SIZE,
	CONF_SIZE_KB,
	CONF_SECONDS,
	CONF_USEC,
	CONF_BOOL,
	CONF_CHAR,
	CONF_STRING,
	CONF_FILE,
	CONF_PATH,
	CONF_DIR,
	CONF_USER,
	CONF_GROUP,
	CONF_ADDR,
	CONF_LIST,
	CONF_ENUM,
	CONF_FLAGS,
	CONF_SECTION
};

enum conf_applies { CONF_RELOAD = 0, CONF_RESTART, CONF_LATER };
enum conf_naming { CONF_NAMED = 0, CONF_UNNAMED, CONF_ANY_NAME };

/* One word of an ENUM or one flag of a FLAGS option; a table ends with a row whose name is NULL. */
struct conf_value {
	const char *name;
	uint64_t value; /* FLAGS: its bits */
	const char *help;
	bool later; /* not built yet: warned about when it is switched on */
};

struct conf_list {
	const char *const *item;
	unsigned count;
};

struct conf_array {
	void *item; /* struct ITEM[count] */
	unsigned count;
};

/* One row of a table; made by core/conf_rows.h. */
struct conf_option {
	const char *name; /* "Sub.name" */
	enum conf_type type;
	enum conf_applies applies;
	size_t offset;
	const char *def;
	int64_t min;
	int64_t max;
	const struct conf_value *values; /* ENUM, FLAGS */
	const struct conf_option *rows;  /* SECTION: rows, their number, size of an item */
	unsigned row_count;
	size_t item_size;
	enum conf_naming naming;
	const char *help;
};

#define CONF_NELEM(a) ((unsigned)(sizeof(a) / sizeof((a)[0])))

/* ---- options that every component section has, and those outside of sections */

enum conf_start {
	CONF_START_UNSET = 0,
	CONF_START_NOSTARTACCEPT,
	CONF_START_ACCEPT,
	CONF_START_PASS,
	CONF_START_WAIT
};
enum conf_socket { CONF_SOCKET_UNSET = 0, CONF_SOCKET_INET, CONF_SOCKET_UNIX };
enum conf_log_format { CONF_LOG_TEXT = 0, CONF_LOG_JSON };

struct conf_listen {
	const char *name;
#define CONF_DEF "core/conf_listen.def"
#include "core/conf_fields.h"
};

/* Every component's struct begins with this, as a member called common. log_facility is a LOG_*
 * value of syslog.h, 0 when it is not set (then the log goes to the log file); log_options are
 * LOG_PID and so on. */
struct conf_common {
#define CONF_DEF "core/conf_common.def"
#include "core/conf_fields.h"
};

struct conf_global {
#define CONF_DEF "core/conf_global.def"
#include "core/conf_fields.h"
};

/* ---- a component */

struct conf;        /* one file that was read: its sections, strings, errors */
struct conf_report; /* where check() puts errors */

struct conf_component {
	const char *keyword; /* of its section: "qmgr" */
	const char *summary; /* one line for -h */
	const struct conf_option *options;
	unsigned option_count;
	size_t size;  /* of its struct, which begins with struct conf_common */
	bool root_ok; /* may run as root (mcp) */

	/* Options of its own on the command line, in getopt(3) notation ("C:c:O:"). f N i n v h V
	 * are taken. The callback sets fields in opts; 0, or -EINVAL for a bad argument. Everything
	 * is processed in order: what comes after -f overrides the file. */
	const char *getopt_extra;
	int (*getopt_cb)(int opt, const char *arg, void *opts);
	/* What such an option wants, for messages: "a number"; may be NULL. */
	const char *(*getopt_wants)(int opt);
	void (*usage_extra)(FILE *out);

	/* Checks between options. May call conf_report_error() and conf_report_warning(). */
	void (*check)(const void *opts, const struct conf_global *g, struct conf_report *r);
};

/* What conf_main() found. */
struct conf_run {
	const char *conf_path;    /* NULL: no -f, defaults only */
	const char *section_name; /* NULL: the section has no name */
	struct conf *conf;        /* owns all strings in the option structs */
	bool has_id;              /* -i was given: */
	uint32_t id;              /* number of this process, from mcp's pass_id */
	int argc;
	char **argv;
	int first_arg; /* index in argv of the first word that is not an option */
};

/*
 * conf_main - the command line and the configuration of a program. Fills opts (c->size bytes), g
 * and run, or prints what is wrong on stderr and exits (EX_CONFIG, EX_USAGE). Exits 0 after -h, -V,
 * -n and --man-options. A program without root_ok refuses to run as root (EX_USAGE) except for
 * those. -f FILE  configuration; without it the defaults   -N NAME  name of its section -n check
 * only; with -v print the options in effect -i NUM   number of this process: run->id -h       usage
 * -V  version; -VVVVV all options with defaults, -VVVVVV all flags too Without -N the section
 * without a name is used, else the only one of the keyword.
 */
void conf_main(const struct conf_component *c, int argc, char **argv, void *opts,
	       struct conf_global *g, struct conf_run *run);

/*
 * conf_reload - read the file of `run` again, with the same command line. On success fills fresh
 * and g; RESTART options keep the value they have in old and old_global, a difference is a warning.
 * *own_conf owns the new strings: free the old run->conf once nothing uses it, and put the new one
 * in its place. Returns 0, or -EINVAL: fresh and g are not usable, *own_conf only holds the errors.
 * Never exits; print with conf_print_report(*own_conf, ...). Main thread: getopt(3) is not
 * reentrant.
 */
int conf_reload(const struct conf_component *c, const struct conf_run *run, const void *old,
		void *fresh, const struct conf_global *old_global, struct conf_global *g,
		struct conf **own_conf);

/* An error or warning about an option of the component's section ("Sub.name"); the place is where
 * the file sets it, else the begin of the section. For use in check(). */
void conf_report_error(struct conf_report *r, const char *option, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void conf_report_warning(struct conf_report *r, const char *option, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* In check(): true when the file sets the option, "Sub.name" or "map NAME.type" or "dnsbl[2].tag".
 */
bool conf_report_is_set(const struct conf_report *r, const char *option);

/* ---- reading without a command line: mcp, smconf, tests */

struct conf_section {
	const char *keyword; /* in lower case */
	const char *name;    /* NULL: none */
	unsigned line;
	unsigned column;
	bool has_path; /* has an option path, start_action */
	bool has_start_action;
};

/* Nothing was read yet; with conf_free() all strings of the options go. */
struct conf *conf_new(void);
void conf_free(struct conf *cf);

/* Read a file, or n bytes of text that is called path in messages. 0; -EINVAL: errors are in the
 * report; for a file that cannot be read also. Once for each struct conf. */
int conf_read(struct conf *cf, const char *path);
int conf_read_text(struct conf *cf, const char *path, const char *text, size_t n);

/* The sections outside of others, in the order of the file. */
unsigned conf_section_count(const struct conf *cf);
const struct conf_section *conf_section_get(const struct conf *cf, unsigned i);

/* Defaults, then the section of the component (name NULL: as conf_main without -N), then the global
 * options, then the checks. Works on a struct conf into which nothing was read: defaults. 0 or
 * -EINVAL. */
int conf_apply(struct conf *cf, const struct conf_component *c, const char *name, void *opts,
	       struct conf_global *g);

/* Only the global options and what stands at top level. */
int conf_apply_global(struct conf *cf, struct conf_global *g);

/* Only the common options of section i. strict: other options in it are errors (a service of mcp);
 * otherwise they are left to the component that owns the section. */
int conf_apply_common(struct conf *cf, unsigned i, struct conf_common *common, bool strict);

/* What mcp wants to know before it starts section i: start_action, path, arguments are there,
 * listen_socket fits, restart_dependencies exist; as_root: user is there. */
int conf_common_check(struct conf *cf, unsigned i, const struct conf_common *common, bool as_root);

/* True when the file set the option ("Sub.name") of the section that conf_apply() read last. */
bool conf_is_set(const struct conf *cf, const char *option);

/* An error at the place of section i, for what only mcp can know. */
void conf_section_error(struct conf *cf, unsigned i, const char *option, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Errors and warnings so far; print them in the order of the file, up to 20 errors. */
unsigned conf_error_count(const struct conf *cf);
void conf_print_report(const struct conf *cf, FILE *out);

#endif
