/*
 * What the sources of vif share.
 */

#ifndef VIFVAR_H_
#define	VIFVAR_H_

#include <sys/param.h>
#include <sys/condvar.h>
#include <sys/mbuf.h>
#include <sys/mutex.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <net/if.h>
#include <net/if_ether.h>
#include <net/if_media.h>
#include <net/bpf.h>

#include <rump-sys/kern.h>

#include "rump_vif.h"

/* As many frames wait to be sent; more are dropped. */
#define	VIF_QUEUE	4096
/* And as many bytes, before one of a bridge's is dropped that is a whole segment. */
#define	VIF_QUEUE_BYTES	(2 * 1024 * 1024)
/* As many parts all frames of a batch have together. */
#define	VIF_PARTS	1024

struct rump_vif {
	struct ethercom	vif_ec;		/* first: the tree casts */
	const struct rump_vif_ops *vif_ops;
	void		*vif_host;
	int		vif_unit;
	LIST_ENTRY(rump_vif) vif_link;	/* KERNEL_LOCK */
	uint32_t	vif_offered;	/* what the host can do; KERNEL_LOCK */
	uint32_t	vif_told;	/* what the host believes is in use */
	uint64_t	vif_disabled;	/* IFCAP_* its users do not want; KERNEL_LOCK */
	bool		vif_host_link;	/* what the host says; KERNEL_LOCK */
	struct ifmedia	vif_media;

	struct rump_vif_stats vif_stats; /* rx: KERNEL_LOCK; tx: tx_lock */

	/* Sending: vif_transmit.c. */
	kmutex_t	tx_lock;
	kcondvar_t	tx_idle;
	struct mbuf	*tx_head;	/* tx_lock, linked by m_nextpkt */
	struct mbuf	**tx_tail;
	u_int		tx_length;
	u_int		tx_bytes;
	bool		tx_busy;	/* a thread is sending */
	bool		tx_to_host;	/* and just now to the host */
	bool		tx_closed;
	void		*tx_softint;
	struct vif_splice *tx_splice;	/* where it sends, instead of to the host;
					   also KERNEL_LOCK and splice_lock */
	struct vif_splice *tx_through;	/* where what the host hands in goes, instead
					   of to the stack; also KERNEL_LOCK */
	/* These belong to the thread that is sending. */
	struct mbuf	*tx_mbufs[RUMP_VIF_BATCH];
	struct rump_vif_tx tx_frames[RUMP_VIF_BATCH];
	struct rump_vif_part tx_parts[VIF_PARTS];
};

/* On its way to the host: its checksum was verified. */
#define	VIF_VERIFIED	M_LINK0
/* On its way through a bridge: vif_bridge.c. */
#define	VIF_BESIDE	M_LINK2

/* What of a frame's flags asks for something to be done when it is sent. */
#define	VIF_TX_FLAGS	(VIF_CSUM_FLAGS | M_CSUM_TSOv4 | M_CSUM_TSOv6)

/* An interface of ours over another of the kernel's: vif_splice.c. */
struct vif_splice {
	LIST_ENTRY(vif_splice) s_link;	/* splice_lock and KERNEL_LOCK */
	struct rump_vif	*s_upper;
	struct ifnet	*s_lower;
	LIST_HEAD(, vif_group) s_groups; /* KERNEL_LOCK */
	u_int		s_users;	/* who may be in the lower; tx_lock */
	bool		s_promisc;
	bool		s_through;	/* for the host, not for the stack */
	bool		s_ending;	/* a thread is at it; KERNEL_LOCK */
};

#define	VIF_IFP(vif)	(&(vif)->vif_ec.ec_if)
/* A frame is put so that what follows its Ethernet header is aligned. */
#define	VIF_ALIGNED	2

#define	VIF_CAPS_TX_CSUM (IFCAP_CSUM_TCPv4_Tx | IFCAP_CSUM_UDPv4_Tx |	\
			  IFCAP_CSUM_TCPv6_Tx | IFCAP_CSUM_UDPv6_Tx)
#define	VIF_CAPS_RX_CSUM (IFCAP_CSUM_TCPv4_Rx | IFCAP_CSUM_UDPv4_Rx |	\
			  IFCAP_CSUM_TCPv6_Rx | IFCAP_CSUM_UDPv6_Rx)
/* All checksums of TCP and UDP. */
#define	VIF_CSUM_FLAGS							\
	(M_CSUM_TCPv4 | M_CSUM_UDPv4 | M_CSUM_TCPv6 | M_CSUM_UDPv6)

/* Counters of the interface; newer trees keep them for each CPU. */
#if __has_include(<net/if_stats.h>)
#include <net/if_stats.h>
#define	VIF_COUNT(ifp, counter, n)	if_statadd(ifp, counter, n)
#else
#define	VIF_COUNT(ifp, counter, n)	((ifp)->counter += (n))
#endif

/* Listeners were not told directions in older trees. */
#ifdef BPF_D_IN
#define	VIF_TAP_IN(ifp, m)	bpf_mtap(ifp, m, BPF_D_IN)
#define	VIF_TAP_OUT(ifp, m)	bpf_mtap(ifp, m, BPF_D_OUT)
#else
#define	VIF_TAP_IN(ifp, m)	bpf_mtap(ifp, m)
#define	VIF_TAP_OUT(ifp, m)	bpf_mtap(ifp, m)
#endif

/* Routes that a cache has given out were not counted in older trees. */
#ifdef IFEF_MPSAFE
#define	VIF_ROUTE_UNREF(rt, ro)	rtcache_unref(rt, ro)
#else
#define	VIF_ROUTE_UNREF(rt, ro)	((void)(rt), (void)(ro))
#endif

/* How long the Ethernet header of a frame is. */
static inline u_int
vif_link_header(struct mbuf *m)
{

	return mtod(m, struct ether_header *)->ether_type ==
	    htons(ETHERTYPE_VLAN) ?
	    ETHER_HDR_LEN + ETHER_VLAN_ENCAP_LEN : ETHER_HDR_LEN;
}

uint32_t vif_offloads(struct rump_vif *);
void	vif_tell_state(struct rump_vif *);
void	vif_renegotiate(struct rump_vif *);

/* Whether a frame is a TCP segment that is longer than an interface takes as a frame. */
static inline bool
vif_is_large(const struct ifnet *ifp, const struct mbuf *m)
{

	return m->m_pkthdr.segsz != 0 &&
	    m->m_pkthdr.len > ETHER_HDR_LEN + (int)ifp->if_mtu;
}

void	vif_input(struct rump_vif *, struct mbuf *);
void	vif_input_large(struct rump_vif *, struct ifnet *, struct mbuf *);
struct mbuf *vif_copied(const struct rump_vif_part *, u_int, size_t);

void	vif_transmit_attach(struct rump_vif *);
void	vif_transmit_detach(struct rump_vif *);
int	vif_transmit(struct ifnet *, struct mbuf *);
void	vif_start(struct ifnet *);

void	vif_complete(struct mbuf *, u_int, u_int);
int	vif_output(struct ifnet *, struct mbuf *, u_int *);

bool	vif_ask(struct mbuf *, u_int, u_int, u_int);

void	vif_mark(struct mbuf *, const struct rump_vif_offload *);
void	vif_bridge_input(struct rump_vif *, struct mbuf *);

void	vif_splice_init(void);
void	vif_splice_detach(struct rump_vif *);
uint64_t vif_splice_capabilities(struct vif_splice *);
struct rump_vif *vif_of(const struct ifnet *);
struct rump_vif *vif_above(struct rump_vif *);
struct rump_vif *vif_below(struct rump_vif *);
struct vif_splice *vif_splice_enter(struct rump_vif *);
void	vif_splice_leave(struct rump_vif *, struct vif_splice *);
int	vif_splice_output(struct rump_vif *, struct vif_splice *, struct mbuf *);
void	vif_splice_input(struct ifnet *, struct mbuf *);
int	vif_lower_mtu(struct ifnet *, u_long);
void	vif_tell_link(struct rump_vif *);

int	vif_groups_join(struct vif_splice *);
void	vif_groups_change(struct rump_vif *, u_long, const struct sockaddr *);
void	vif_groups_leave(struct vif_splice *);
void	vif_groups_forget(struct vif_splice *);

#endif /* VIFVAR_H_ */
