#include "resolver/mapset.h"

#include "core/err.h"

#include <stddef.h>
#include <stdlib.h>

static struct mapset *current;

static struct map *find_declared(const struct mapset *s, const char *name)
{
	for (unsigned i = 0; i < s->declared_count; i++)
		if (s->declared[i] && !strcmp(map_name(s->declared[i]), name))
			return s->declared[i];
	return NULL;
}

static struct map *open_sequence(const struct mapset *s, const struct smar_map *conf,
				 struct report *r)
{
	struct map *maps[64];
	unsigned count = 0;

	for (unsigned i = 0; i < conf->maps.count && count < 64; i++) {
		struct map *m = find_declared(s, conf->maps.item[i]);

		if (!m) {
			report_error(r, conf->name, 0, "map %s of the sequence is not there",
				     conf->maps.item[i]);
			return NULL;
		}
		maps[count++] = m;
	}
	return map_new_sequence(conf->name, maps, count);
}

static struct map *open_declared(const struct mapset *s, const struct smar_map *conf,
				 struct report *r)
{
	switch ((enum smar_map_type)conf->type) {
	case SMAR_MAP_HASH:
		return map_open_hash(conf->name, conf->file, r);
	case SMAR_MAP_SEQUENCE:
		return open_sequence(s, conf, r);
	case SMAR_MAP_PASSWD:
		return map_new_passwd(conf->name);
	default:
		report_error(r, conf->name, 0,
			     "maps of type socket are not available in this version");
		return NULL;
	}
}

static void load_declared(struct mapset *s, const struct smar_options *o, const struct mapset *old,
			  struct report *r)
{
	const struct smar_map *conf = o->map.item;

	s->declared = xcalloc(o->map.count, sizeof *s->declared);
	for (unsigned i = 0; i < o->map.count; i++) {
		struct map *m = open_declared(s, &conf[i], r);

		if (!m && old && old->declared[i])
			m = map_get_ref(old->declared[i]);
		s->declared[i] = m;
		s->declared_count = i + 1;
	}
}

static void load_access(struct mapset *s, const struct smar_options *o, const struct mapset *old,
			struct report *r)
{
	if (!o->access_map_file || !*o->access_map_file)
		return;
	struct map *m = map_open_hash("access_map", o->access_map_file, r);
	if (m)
		s->access = access_new(m, o->address_delimiter, r);
	if (!s->access && old && old->access)
		s->access = access_get_ref(old->access);
}

static void load_mailertable(struct mapset *s, const struct smar_options *o,
			     const struct mapset *old, struct report *r)
{
	if (o->mailertable_name) {
		struct map *m = find_declared(s, o->mailertable_name);

		if (m)
			s->mailertable = mailertable_from_map(m, r);
		else
			report_error(r, o->mailertable_name, 0, "the mailertable is not there");
	} else {
		s->mailertable = mailertable_from_file(o->mailertable_file, r);
	}
	if (!s->mailertable && old && old->mailertable)
		s->mailertable = mailertable_get_ref(old->mailertable);
}

static void load_aliases(struct mapset *s, const struct smar_options *o, const struct mapset *old,
			 struct report *r)
{
	if (!o->aliases_file || !*o->aliases_file)
		return;
	struct map *m = map_open_hash("aliases", o->aliases_file, r);
	if (m)
		s->aliases = aliases_new(m, (unsigned)o->aliases_flags, o->address_delimiter, r);
	if (!s->aliases && old && old->aliases)
		s->aliases = aliases_get_ref(old->aliases);
}

static void load_local_users(struct mapset *s, const struct smar_options *o, struct report *r)
{
	s->local_users_flags = o->local_user_map_flags;
	if (!o->local_user_map_name)
		return;
	struct map *m = find_declared(s, o->local_user_map_name);
	if (m)
		s->local_users = map_get_ref(m);
	else
		report_error(r, o->local_user_map_name, 0, "the map of local users is not there");
}

struct mapset *mapset_load(const struct smar_options *o, const struct mapset *old, struct report *r)
{
	struct mapset *s = xcalloc(1, sizeof *s);
	unsigned before = r->error_count;

	load_declared(s, o, old, r);
	load_access(s, o, old, r);
	load_mailertable(s, o, old, r);
	load_aliases(s, o, old, r);
	load_local_users(s, o, r);
	s->delimiter = o->address_delimiter;
	if (r->error_count != before && !old) {
		mapset_free(s);
		return NULL;
	}
	return s;
}

void mapset_free(struct mapset *own)
{
	if (!own)
		return;
	access_put_ref(own->access);
	mailertable_put_ref(own->mailertable);
	aliases_put_ref(own->aliases);
	map_put_ref(own->local_users);
	for (unsigned i = 0; i < own->declared_count; i++)
		map_put_ref(own->declared[i]);
	free(own->declared);
	free(own);
}

static void free_later(struct rcu_head *head)
{
	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	mapset_free((struct mapset *)((char *)head - offsetof(struct mapset, rcu)));
}

struct mapset *mapset_current_rcu(void)
{
	return RCU_READ(current);
}

void mapset_publish(struct mapset *own)
{
	RCU_TSAN_RELEASE(&current);
	struct mapset *old = rcu_xchg_pointer(&current, own);

	if (old)
		rcu_later(&old->rcu, free_later);
}
