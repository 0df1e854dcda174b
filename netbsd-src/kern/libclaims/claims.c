/*
 * Ports that are asked for before they are taken: rump_claims.h.
 *
 * A bind is asked about before any lock is taken, so that the answer may take its time.
 * kauth(9) has a scope for it (KAUTH_NETWORK_BIND), which does not fit: its listeners are
 * called with softnet_lock held, cannot say more than no (EACCES), are not told what
 * became of the bind, and know nothing of the end.
 *
 * The end is that of the last protocol control block with the port: connections have the
 * port of the socket that accepted them, also when that is closed, and in TIME_WAIT.  (Not
 * so where net.inet.tcp.vtw.enable is set, which it is not by default: there TIME_WAIT is
 * kept elsewhere.)
 */

#include <sys/param.h>

#include "rump_claims.h"

#ifdef CLAIMS_KNOWN

#include <sys/atomic.h>
#include <sys/kernel.h>
#include <sys/proc.h>
#include <sys/protosw.h>
#include <sys/domain.h>
#include <sys/socket.h>
#include <sys/socketvar.h>
#include <sys/systm.h>

#include <net/if.h>
#include <net/route.h>

#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/ip.h>
#include <netinet/in_pcb.h>
#include <netinet/ip_var.h>
#include <netinet/ip6.h>
#include <netinet6/ip6_var.h>
#include <netinet6/in6_pcb.h>
#include <netinet6/scope6_var.h>
#include <netinet/tcp.h>
#include <netinet/tcp_timer.h>
#include <netinet/tcp_var.h>
#include <netinet/udp.h>
#include <netinet/udp_var.h>

#include <rump-sys/kern.h>

CTASSERT(sizeof(struct rump_claims_endpoint) == 20);
CTASSERT(offsetof(struct rump_claims_endpoint, port) == 16);
CTASSERT(sizeof(struct rump_claims_ops) == 24);

/* The tree's own definitions. */
int	sobind_tree(struct socket *, struct sockaddr *, struct lwp *);
void	in_pcbdetach_tree(void *);
void	in6_pcbdetach_tree(struct in6pcb *);

/* Who is asked. */
static const struct rump_claims_ops *volatile claims_ops;
/* Binds under way that are not asked about. */
static volatile unsigned int claims_unasked;

static void
claims_map(const struct in_addr *address, uint8_t *mapped)
{

	memset(mapped, 0, 10);
	memset(mapped + 10, 0xff, 2);
	memcpy(mapped + 12, address, 4);
}

/* Without the number of the interface, which the kernel keeps in such addresses. */
static void
claims_plain(const struct in6_addr *address, uint8_t *plain)
{
	struct in6_addr copy = *address;

	(void)in6_clearscope(&copy);
	memcpy(plain, &copy, sizeof(copy));
}

static bool
claims_is_v4(const uint8_t *address)
{

	return IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)address);
}

/* Whether it stands for all addresses of its family. */
static bool
claims_is_any(const uint8_t *address)
{
	int i = claims_is_v4(address) ? 12 : 0;

	for (; i < 16; i++)
		if (address[i] != 0)
			return false;
	return true;
}

/* Whether a socket of IPv6 has this port of IPv4 as well. */
static bool
claims_is_both(const struct in6_addr *address, int flags)
{

	return IN6_IS_ADDR_UNSPECIFIED(address) &&
	    (flags & IN6P_IPV6_V6ONLY) == 0;
}

/* Whether it may have it again: one of datagrams that is connected over IPv4. */
static bool
claims_was_both(const struct inpcb_hdr *pcb, uint8_t protocol)
{
	const struct in6pcb *in6p = (const struct in6pcb *)pcb;

	return protocol == IPPROTO_UDP && pcb->inph_af == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&in6p->in6p_laddr) &&
	    (in6p->in6p_flags & IN6P_IPV6_V6ONLY) == 0;
}

/* Where a control block has its port, if it has one: one place or two. */
static int
claims_of(const struct inpcb_hdr *pcb, uint8_t protocol,
    struct rump_claims_endpoint *at)
{
	static const struct in_addr any4 = { .s_addr = INADDR_ANY };

	at[0] = at[1] = (struct rump_claims_endpoint){ .protocol = protocol };
	if (pcb->inph_af == AF_INET) {
		const struct inpcb *inp = (const struct inpcb *)pcb;

		at[0].port = ntohs(inp->inp_lport);
		claims_map(&inp->inp_laddr, at[0].address);
	} else if (pcb->inph_af == AF_INET6) {
		const struct in6pcb *in6p = (const struct in6pcb *)pcb;

		at[0].port = at[1].port = ntohs(in6p->in6p_lport);
		claims_plain(&in6p->in6p_laddr, at[0].address);
		claims_map(&any4, at[1].address);
		if (at[0].port != 0 &&
		    claims_is_both(&in6p->in6p_laddr, in6p->in6p_flags))
			return 2;
	}
	return at[0].port == 0 ? 0 : 1;
}

/*
 * Whether a control block keeps this place.  A socket that is connected has an address
 * of its own, and loses it when it no longer is: each counts for the other.
 */
static bool
claims_keeps(const struct inpcb_hdr *pcb,
    const struct rump_claims_endpoint *place)
{
	struct rump_claims_endpoint at[2];
	int count;

	for (count = claims_of(pcb, place->protocol, at); count-- > 0;) {
		if (at[count].port != place->port)
			continue;
		if (claims_was_both(pcb, place->protocol))
			return true;
		if (claims_is_v4(at[count].address) != claims_is_v4(place->address))
			continue;
		if (claims_is_any(place->address) ||
		    claims_is_any(at[count].address) ||
		    memcmp(at[count].address, place->address, 16) == 0)
			return true;
	}
	return false;
}

/* softnet_lock is held. */
static int
claims_used(void *arg, const struct rump_claims_endpoint *place)
{
	const struct inpcbtable *table = arg;
	const struct inpcb_hdr *pcb;

	/*
	 * Those that were bound are found by their port.  Those that were accepted are
	 * not; they are looked for where nothing else is left.
	 */
	LIST_FOREACH(pcb,
	    &table->inpt_porthashtbl[place->port & table->inpt_porthash],
	    inph_lhash)
		if (claims_keeps(pcb, place))
			return 1;
	TAILQ_FOREACH(pcb, &table->inpt_queue, inph_queue)
		if (claims_keeps(pcb, place))
			return 1;
	return 0;
}

static struct inpcbtable *
claims_table(uint8_t protocol)
{

	return protocol == IPPROTO_TCP ? &tcbtable : &udbtable;
}

/* What a bind to this name would take: one place, two, or nothing to ask for. */
static int
claims_wanted(struct socket *so, const struct sockaddr *nam,
    struct rump_claims_endpoint *wanted)
{
	static const struct in_addr any4 = { .s_addr = INADDR_ANY };
	int family = so->so_proto->pr_domain->dom_family;
	int protocol = so->so_proto->pr_protocol;
	bool both;

	if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) ||
	    nam->sa_family != family)
		return 0;
	wanted[0] = (struct rump_claims_endpoint){ .protocol = protocol };
	if (family == AF_INET && nam->sa_len == sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *sin = (const struct sockaddr_in *)nam;

		wanted[0].port = ntohs(sin->sin_port);
		claims_map(&sin->sin_addr, wanted[0].address);
		return wanted[0].port == 0 ? 0 : 1;
	}
	if (family == AF_INET6 && nam->sa_len == sizeof(struct sockaddr_in6)) {
		const struct sockaddr_in6 *sin6 =
		    (const struct sockaddr_in6 *)nam;

		wanted[0].port = ntohs(sin6->sin6_port);
		claims_plain(&sin6->sin6_addr, wanted[0].address);
		if (wanted[0].port == 0)
			return 0;
		solock(so);
		both = so->so_pcb != NULL && claims_is_both(&sin6->sin6_addr,
		    sotoin6pcb(so)->in6p_flags);
		sounlock(so);
		if (!both)
			return 1;
		wanted[1] = wanted[0];
		claims_map(&any4, wanted[1].address);
		return 2;
	}
	return 0;
}

/* The host may be told of the end of asking meanwhile; its table stays. */
static int
claims_bind(const struct rump_claims_ops *ops, struct socket *so,
    struct sockaddr *nam, struct lwp *l)
{
	struct rump_claims_endpoint wanted[2];
	int count = claims_wanted(so, nam, wanted);
	int granted, error = 0;

	for (granted = 0; granted < count; granted++)
		if ((error = ops->claim(&wanted[granted])) != 0)
			break;
	if (error == 0)
		error = sobind_tree(so, nam, l);
	if (granted == 0)
		return error;

	mutex_enter(softnet_lock);
	while (granted-- > 0)
		ops->bound(&wanted[granted], claims_used,
		    claims_table(wanted[granted].protocol));
	mutex_exit(softnet_lock);
	return error;
}

int
sobind(struct socket *so, struct sockaddr *nam, struct lwp *l)
{
	const struct rump_claims_ops *ops;
	int error;

	atomic_inc_uint(&claims_unasked);
	membar_enter();
	if ((ops = claims_ops) == NULL)
		error = sobind_tree(so, nam, l);
	atomic_dec_uint(&claims_unasked);
	return ops == NULL ? error : claims_bind(ops, so, nam, l);
}

/* softnet_lock is held. */
static void
claims_gone(struct inpcbtable *table, uint16_t port)
{
	const struct rump_claims_ops *ops = claims_ops;

	if (ops == NULL || port == 0)
		return;
	if (table == &tcbtable)
		ops->gone(IPPROTO_TCP, port, claims_used, table);
	else if (table == &udbtable)
		ops->gone(IPPROTO_UDP, port, claims_used, table);
}

void
in_pcbdetach(void *v)
{
	struct inpcbtable *table = ((struct inpcb *)v)->inp_table;
	uint16_t port = ntohs(((struct inpcb *)v)->inp_lport);

	in_pcbdetach_tree(v);
	claims_gone(table, port);
}

void
in6_pcbdetach(struct in6pcb *in6p)
{
	struct inpcbtable *table = in6p->in6p_table;
	uint16_t port = ntohs(in6p->in6p_lport);

	in6_pcbdetach_tree(in6p);
	claims_gone(table, port);
}

int
rump_claims_set(const struct rump_claims_ops *ops)
{

	rump_schedule();
	claims_ops = ops;
	membar_sync();
	while (claims_unasked != 0)
		kpause("claims", false, 1, NULL);
	rump_unschedule();
	return 0;
}

void
rump_claims_list(void (*tell)(void *, const struct rump_claims_endpoint *),
    void *arg)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP };
	struct rump_claims_endpoint at[2];
	const struct inpcb_hdr *pcb;
	size_t i;
	int count;

	rump_schedule();
	mutex_enter(softnet_lock);
	for (i = 0; i < __arraycount(protocols); i++)
		TAILQ_FOREACH(pcb, &claims_table(protocols[i])->inpt_queue,
		    inph_queue) {
			count = claims_of(pcb, protocols[i], at);
			while (count-- > 0)
				tell(arg, &at[count]);
		}
	tell(arg, NULL);
	mutex_exit(softnet_lock);
	rump_unschedule();
}

#else	/* CLAIMS_KNOWN */

#include <sys/errno.h>

int
rump_claims_set(const struct rump_claims_ops *ops)
{

	return ops == NULL ? 0 : ENOTSUP;
}

void
rump_claims_list(void (*tell)(void *, const struct rump_claims_endpoint *),
    void *arg)
{

	tell(arg, NULL);
}

#endif	/* CLAIMS_KNOWN */
