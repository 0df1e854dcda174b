/*
 * The groups of a spliced interface, in the filters of the one below.
 *
 * What was put there is remembered, and is what is taken out again in the end.
 */

#include "vifvar.h"

#include <sys/kmem.h>
#include <sys/sockio.h>
#include <sys/systm.h>

#include <netinet/in.h>
#include <netinet6/in6_var.h>

/* A group, or a range of them. */
struct vif_group {
	LIST_ENTRY(vif_group) g_link;
	uint8_t		g_low[ETHER_ADDR_LEN];
	uint8_t		g_high[ETHER_ADDR_LEN];
};

/* The list of an interface has a lock of its own in newer trees. */
#ifdef ETHER_LOCK
#define	GROUPS_LOCK(ec)		ETHER_LOCK(ec)
#define	GROUPS_UNLOCK(ec)	ETHER_UNLOCK(ec)
#else
#define	GROUPS_LOCK(ec)		((void)(ec))
#define	GROUPS_UNLOCK(ec)	((void)(ec))
#endif

/* Puts a group into the filters of an interface, or takes it out. */
static int
vif_group_tell(struct ifnet *lower, u_long cmd, const struct vif_group *g)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} sa;
	int error;

	memset(&sa, 0, sizeof(sa));
	if (memcmp(g->g_low, g->g_high, ETHER_ADDR_LEN) == 0) {
		sa.any.sa_len = sizeof(sa.any);
		sa.any.sa_family = AF_UNSPEC;
		memcpy(sa.any.sa_data, g->g_low, ETHER_ADDR_LEN);
	} else if (g->g_low[0] == 0x33) {
		/* There are no ranges but these two: all groups of a protocol. */
		sa.in6.sin6_len = sizeof(sa.in6);
		sa.in6.sin6_family = AF_INET6;
	} else {
		sa.in.sin_len = sizeof(sa.in);
		sa.in.sin_family = AF_INET;
	}
	mutex_enter(lower->if_ioctl_lock);
	error = if_mcast_op(lower, cmd, &sa.any);
	mutex_exit(lower->if_ioctl_lock);
	return error == ENETRESET ? 0 : error;
}

static struct vif_group *
vif_group_find(struct vif_splice *s, const uint8_t *low, const uint8_t *high)
{
	struct vif_group *g;

	LIST_FOREACH(g, &s->s_groups, g_link)
		if (memcmp(g->g_low, low, ETHER_ADDR_LEN) == 0 &&
		    memcmp(g->g_high, high, ETHER_ADDR_LEN) == 0)
			break;
	return g;
}

static int
vif_group_join(struct vif_splice *s, const uint8_t *low, const uint8_t *high)
{
	struct vif_group *g;
	int error;

	g = kmem_zalloc(sizeof(*g), KM_SLEEP);
	memcpy(g->g_low, low, ETHER_ADDR_LEN);
	memcpy(g->g_high, high, ETHER_ADDR_LEN);
	if (vif_group_find(s, low, high) != NULL) {
		kmem_free(g, sizeof(*g));
		return 0;
	}
	LIST_INSERT_HEAD(&s->s_groups, g, g_link);
	if ((error = vif_group_tell(s->s_lower, SIOCADDMULTI, g)) != 0) {
		LIST_REMOVE(g, g_link);
		kmem_free(g, sizeof(*g));
	}
	return error;
}

/* All that the interface has, and the other does not have of it yet. */
int
vif_groups_join(struct vif_splice *s)
{
	struct ethercom *ec = &s->s_upper->vif_ec;
	struct ether_multi *enm;
	struct vif_group *copies;
	size_t room, count = 0, i;
	int error = 0;

	GROUPS_LOCK(ec);
	room = ec->ec_multicnt;
	GROUPS_UNLOCK(ec);
	if (room == 0)
		return 0;
	copies = kmem_zalloc(room * sizeof(*copies), KM_SLEEP);
	GROUPS_LOCK(ec);
	LIST_FOREACH(enm, &ec->ec_multiaddrs, enm_list) {
		if (count == room)
			break;
		memcpy(copies[count].g_low, enm->enm_addrlo, ETHER_ADDR_LEN);
		memcpy(copies[count].g_high, enm->enm_addrhi, ETHER_ADDR_LEN);
		count++;
	}
	GROUPS_UNLOCK(ec);
	for (i = 0; i < count && error == 0; i++)
		error = vif_group_join(s, copies[i].g_low, copies[i].g_high);
	kmem_free(copies, room * sizeof(*copies));
	return error;
}

/* The list of the interface's groups has changed (SIOCADDMULTI, SIOCDELMULTI). */
void
vif_groups_change(struct rump_vif *vif, u_long cmd, const struct sockaddr *sa)
{
	struct vif_splice *s;
	struct vif_group *g;
	uint8_t low[ETHER_ADDR_LEN], high[ETHER_ADDR_LEN];

	mutex_enter(&vif->tx_lock);
	s = vif_splice_enter(vif);
	mutex_exit(&vif->tx_lock);
	if (s == NULL)
		return;
	KERNEL_LOCK(1, NULL);
	if (ether_multiaddr(sa, low, high) != 0) {
		/* It would not have been taken. */
	} else if (cmd == SIOCADDMULTI) {
		if (vif_group_join(s, low, high) != 0)
			printf("%s: a filter of %s could not be set\n",
			    VIF_IFP(vif)->if_xname, s->s_lower->if_xname);
	} else if ((g = vif_group_find(s, low, high)) != NULL) {
		LIST_REMOVE(g, g_link);
		(void)vif_group_tell(s->s_lower, SIOCDELMULTI, g);
		kmem_free(g, sizeof(*g));
	}
	KERNEL_UNLOCK_ONE(NULL);
	mutex_enter(&vif->tx_lock);
	vif_splice_leave(vif, s);
	mutex_exit(&vif->tx_lock);
}

/* Takes them out of the filters, and forgets them. */
void
vif_groups_leave(struct vif_splice *s)
{
	struct vif_group *g;

	LIST_FOREACH(g, &s->s_groups, g_link)
		(void)vif_group_tell(s->s_lower, SIOCDELMULTI, g);
	vif_groups_forget(s);
}

void
vif_groups_forget(struct vif_splice *s)
{
	struct vif_group *g;

	while ((g = LIST_FIRST(&s->s_groups)) != NULL) {
		LIST_REMOVE(g, g_link);
		kmem_free(g, sizeof(*g));
	}
}
