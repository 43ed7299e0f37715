/*
 * queue/rocks.h - the functions of librocksdb, loaded when a database is opened.
 *
 * Linked in, it would cost every start of qmgr and of the tools 4 ms of relocation, also where they
 * only check a configuration, or ask a qmgr that runs; and clients would wait for that.
 *
 * Owner:  rocks_load() any thread, before anything else; the functions are RocksDB's.
 * Memory: stays loaded to the end of the process.
 */
#ifndef QUEUE_ROCKS_H
#define QUEUE_ROCKS_H
#include <rocksdb/c.h>

/* rocks.NAME is rocksdb_NAME. */
#define ROCKS_FUNCTIONS(F)                                                                         \
	F(block_based_options_create)                                                              \
	F(block_based_options_destroy)                                                             \
	F(block_based_options_set_block_cache)                                                     \
	F(block_based_options_set_block_size)                                                      \
	F(block_based_options_set_filter_policy)                                                   \
	F(cache_create_lru)                                                                        \
	F(cache_destroy)                                                                           \
	F(cache_get_capacity)                                                                      \
	F(close)                                                                                   \
	F(column_family_handle_destroy)                                                            \
	F(create_iterator_cf)                                                                      \
	F(filterpolicy_create_bloom)                                                               \
	F(flush_cf)                                                                                \
	F(flushoptions_create)                                                                     \
	F(flushoptions_destroy)                                                                    \
	F(flushoptions_set_wait)                                                                   \
	F(get_cf)                                                                                  \
	F(iter_destroy)                                                                            \
	F(iter_get_error)                                                                          \
	F(iter_key)                                                                                \
	F(iter_next)                                                                               \
	F(iter_seek)                                                                               \
	F(iter_valid)                                                                              \
	F(iter_value)                                                                              \
	F(list_column_families)                                                                    \
	F(list_column_families_destroy)                                                            \
	F(open_column_families)                                                                    \
	F(open_for_read_only_column_families)                                                      \
	F(options_create)                                                                          \
	F(options_destroy)                                                                         \
	F(options_set_WAL_ttl_seconds)                                                             \
	F(options_set_block_based_table_factory)                                                   \
	F(options_set_create_if_missing)                                                           \
	F(options_set_create_missing_column_families)                                              \
	F(options_set_disable_auto_compactions)                                                    \
	F(options_set_info_log_level)                                                              \
	F(options_set_keep_log_file_num)                                                           \
	F(options_set_max_background_jobs)                                                         \
	F(options_set_max_file_opening_threads)                                                    \
	F(options_set_max_total_wal_size)                                                          \
	F(options_set_paranoid_checks)                                                             \
	F(options_set_stats_dump_period_sec)                                                       \
	F(options_set_wal_dir)                                                                     \
	F(options_set_wal_recovery_mode)                                                           \
	F(options_set_write_buffer_size)                                                           \
	F(readoptions_create)                                                                      \
	F(readoptions_destroy)                                                                     \
	F(write)                                                                                   \
	F(writebatch_clear)                                                                        \
	F(writebatch_count)                                                                        \
	F(writebatch_create)                                                                       \
	F(writebatch_data)                                                                         \
	F(writebatch_delete_cf)                                                                    \
	F(writebatch_destroy)                                                                      \
	F(writebatch_put_cf)                                                                       \
	F(writebatch_singledelete_cf)                                                              \
	F(writeoptions_create)                                                                     \
	F(writeoptions_destroy)                                                                    \
	F(writeoptions_set_sync)

struct rocks {
#define ROCKS_MEMBER(name) __typeof__(&rocksdb_##name) name;
	ROCKS_FUNCTIONS(ROCKS_MEMBER)
#undef ROCKS_MEMBER
};
extern struct rocks rocks;

/* Once is enough, more do no harm. NULL, or why it cannot be loaded. */
const char *rocks_load(void);

/* rocks.write; a function of its own so that tests can let it fail. */
void rocks_write(rocksdb_t *db, const rocksdb_writeoptions_t *o, rocksdb_writebatch_t *b,
		 char **err);

#endif
