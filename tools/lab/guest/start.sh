#!/bin/bash
# Second process of the guest, on the host's root: brings up the network and rxe0, then serves the lab until it ends.
# The lab reaches the agent (commands) and the rxe peer (verbs) over TCP.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8
cd /tmp
ulimit -l unlimited
ip link set lo up
ip link set eth0 mtu "$LAB_MTU"
ip addr add "$LAB_IPV4/24" dev eth0
# Without nodad the address could not be used for its first second.
ip addr add "$LAB_IPV6/64" dev eth0 nodad
ip link set eth0 up
rdma link add rxe0 type rxe netdev eth0 || echo 'lab: no rxe0'
/run/lab/rxe-peer "$LAB_PEER_PORT" &
/run/lab/agent "$LAB_AGENT_PORT"
echo o > /proc/sysrq-trigger
sleep 10
