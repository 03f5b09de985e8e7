package networkpolicy

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// agentEnvironment makes the test program an agent: a process in a network namespace that serves on the addresses in
// this variable (JSON, address to name) and answers questions from its standard input until that is closed.
const agentEnvironment = "NETWORK_POLICY_TEST_AGENT"

// patience is how long a probe waits when nothing comes back at all.
const patience = 5 * time.Second

var servedPorts = []uint16{5353, 7070, 8080, 8081, 9090}

type question struct {
	ID       int
	Protocol string
	Source   netip.Addr
	FromPort uint16
	Target   netip.Addr
	Port     uint16
}

type answer struct {
	ID int
	// Text is what the server said: its name and port.
	Text  string
	Error string
	// Prohibited is set for the errors that ICMP "administratively prohibited" becomes, and no other.
	Prohibited bool
	Took       time.Duration
}

func TestMain(m *testing.M) {
	if listen := os.Getenv(agentEnvironment); listen != "" {
		if err := serveAgent(listen); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// agent is the other end of such a process; many questions may be open at once.
type agent struct {
	name    string
	mutex   sync.Mutex
	encoder *json.Encoder
	open    []chan answer // by the id of the question
}

func startAgent(t *testing.T, namespace string, listen map[string]string) *agent {
	t.Helper()
	text, err := json.Marshal(listen)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("nsenter", "--net=/run/netns/"+namespace, "--", program)
	c.Env = append(os.Environ(), agentEnvironment+"="+string(text))
	c.Stderr = os.Stderr
	input, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("agent in %s: %v", namespace, err)
		}
	})
	a := &agent{name: namespace, encoder: json.NewEncoder(input)}
	decoder := json.NewDecoder(output)
	var ready answer // says that every port is open
	if err := decoder.Decode(&ready); err != nil {
		t.Fatalf("agent in %s: %v", namespace, err)
	}
	go func() {
		for {
			var result answer
			if decoder.Decode(&result) != nil { // closed, at the end of the test
				return
			}
			a.mutex.Lock()
			a.open[result.ID] <- result
			a.mutex.Unlock()
		}
	}()
	return a
}

func (a *agent) ask(q question) answer {
	reply := make(chan answer, 1)
	a.mutex.Lock()
	q.ID = len(a.open)
	a.open = append(a.open, reply)
	err := a.encoder.Encode(q)
	a.mutex.Unlock()
	if err != nil {
		return answer{Error: fmt.Sprintf("agent in %s: %v", a.name, err)}
	}
	select {
	case result := <-reply:
		return result
	case <-time.After(2 * patience):
		return answer{Error: fmt.Sprintf("agent in %s is silent", a.name)}
	}
}

func serveAgent(listen string) error {
	var names map[netip.Addr]string
	if err := json.Unmarshal([]byte(listen), &names); err != nil {
		return err
	}
	var sctp sctpArrivals
	for address, name := range names {
		for _, port := range servedPorts {
			if err := serve(netip.AddrPortFrom(address, port), fmt.Sprintf("%s %d", name, port)); err != nil {
				return err
			}
		}
		if err := sctp.listen(address, name); err != nil {
			return err
		}
	}
	answers := json.NewEncoder(os.Stdout)
	if err := answers.Encode(answer{}); err != nil {
		return err
	}
	var mutex sync.Mutex // around answers
	questions := json.NewDecoder(os.Stdin)
	for {
		var q question
		if err := questions.Decode(&q); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		go func() {
			result := q.answer(&sctp)
			mutex.Lock()
			defer mutex.Unlock()
			answers.Encode(result)
		}()
	}
}

func (q question) answer(sctp *sctpArrivals) answer {
	started := time.Now()
	var text string
	var err error
	switch q.Protocol {
	case "sctp":
		err = sctpSend(q)
	case "sctp-arrived":
		text, err = sctp.take(q)
	default:
		text, err = dial(q)
	}
	result := answer{ID: q.ID, Text: text, Took: time.Since(started)}
	if err != nil {
		result.Error = err.Error()
		// IPv4 and IPv6 speak of the same refusal with different numbers.
		result.Prohibited = errors.Is(err, syscall.EHOSTUNREACH) && q.Target.Is4() || errors.Is(err, syscall.EACCES) && q.Target.Is6()
	}
	return result
}

// serve says text to every TCP connection and in answer to every UDP packet.
func serve(address netip.AddrPort, text string) error {
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(address))
	if err != nil {
		return err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			io.WriteString(connection, text)
			connection.Close()
		}
	}()
	packets, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return err
	}
	go func() {
		for {
			_, from, err := packets.ReadFromUDPAddrPort(make([]byte, 16))
			if err != nil {
				return
			}
			packets.WriteToUDPAddrPort([]byte(text), from)
		}
	}()
	return nil
}

func dial(q question) (string, error) {
	source, target := netip.AddrPortFrom(q.Source, q.FromPort), netip.AddrPortFrom(q.Target, q.Port)
	dialer := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(source)}
	if q.Protocol == "udp" {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(source)
	}
	connection, err := dialer.Dial(q.Protocol, target.String())
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if q.Protocol == "udp" {
		if _, err := connection.Write([]byte("?")); err != nil {
			return "", err
		}
	}
	buffer := make([]byte, 64)
	n, err := connection.Read(buffer)
	return strings.TrimSpace(string(buffer[:n])), err
}

// SCTP is spoken on raw sockets, because nftables and connection tracking know it in kernels that do not: the first
// packet of an association arrives, or an ICMP error comes back.

func sctpSocket(address netip.Addr) (*net.IPConn, error) {
	return net.ListenIP(map[bool]string{true: "ip4:132", false: "ip6:132"}[address.Is4()], &net.IPAddr{IP: address.AsSlice()})
}

type sctpArrivals struct {
	mutex sync.Mutex
	// seen has a channel per source and target that closes when the packet is here.
	seen map[string]chan string
}

func (s *sctpArrivals) slot(from, to string) chan string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.seen == nil {
		s.seen = map[string]chan string{}
	}
	if s.seen[from+to] == nil {
		s.seen[from+to] = make(chan string, 1)
	}
	return s.seen[from+to]
}

func (s *sctpArrivals) listen(address netip.Addr, name string) error {
	socket, err := sctpSocket(address)
	if err != nil {
		return err
	}
	go func() {
		for {
			buffer := make([]byte, 1500)
			n, from, err := socket.ReadFromIP(buffer)
			if err != nil {
				return
			}
			if n < 12 {
				continue
			}
			source, _ := netip.AddrFromSlice(from.IP)
			fromPort, port := binary.BigEndian.Uint16(buffer), binary.BigEndian.Uint16(buffer[2:])
			slot := s.slot(netip.AddrPortFrom(source.Unmap(), fromPort).String(), netip.AddrPortFrom(address, port).String())
			select {
			case slot <- fmt.Sprintf("%s %d", name, port):
			default:
			}
		}
	}()
	return nil
}

// take waits for the packet that the question announces.
func (s *sctpArrivals) take(q question) (string, error) {
	slot := s.slot(netip.AddrPortFrom(q.Source, q.FromPort).String(), netip.AddrPortFrom(q.Target, q.Port).String())
	select {
	case text := <-slot:
		return text, nil
	case <-time.After(patience):
		return "", errors.New("nothing arrived")
	}
}

// sctpSend sends an INIT and listens for a moment whether it is refused. A refusal comes from the node next door and
// within microseconds, before the call that sends returns; the wait is for machines that are busy.
func sctpSend(q question) error {
	network := map[bool]string{true: "ip4:132", false: "ip6:132"}[q.Target.Is4()]
	socket, err := net.DialIP(network, &net.IPAddr{IP: q.Source.AsSlice()}, &net.IPAddr{IP: q.Target.AsSlice()})
	if err != nil {
		return err
	}
	defer socket.Close()
	packet := binary.BigEndian.AppendUint16(nil, q.FromPort)
	packet = binary.BigEndian.AppendUint16(packet, q.Port)
	packet = append(packet, 0, 0, 0, 0, 0, 0, 0, 0) // an INIT has verification tag 0; then the checksum, filled in below
	packet = append(packet, 1, 0, 0, 20)            // chunk INIT, 20 bytes
	packet = append(packet, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1)
	binary.LittleEndian.PutUint32(packet[8:], crc32.Checksum(packet, crc32.MakeTable(crc32.Castagnoli)))
	if _, err := socket.Write(packet); err != nil {
		return err
	}
	if err := socket.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		return err
	}
	for {
		_, err := socket.Read(make([]byte, 1500))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
