// Go's ACME libraries, each obtaining, renewing and revoking as their users (cert-manager, Traefik, Caddy) do.
//
// clients LIBRARY DIRECTORY ROOT.pem WEBROOT ALPN-PORT NAME: writes first.pem and second.pem, of which the second is
// revoked at the end, into the working directory.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/caddyserver/certmagic"
	legoacme "github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certcrypto"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/lego"
	"github.com/go-acme/lego/v5/providers/http/webroot"
	"github.com/go-acme/lego/v5/registration"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
	goacme "golang.org/x/crypto/acme"
)

type job struct {
	directory, webroot, name string
	alpnPort                 int
	roots                    *x509.CertPool
	client                   *http.Client
}

func main() {
	log.SetFlags(0)
	pemRoots, err := os.ReadFile(os.Args[3])
	must(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pemRoots) {
		log.Fatal("no root")
	}
	port, err := strconv.Atoi(os.Args[5])
	must(err)
	j := job{os.Args[2], os.Args[4], os.Args[6], port, roots, &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	libraries := map[string]func(context.Context, job){
		"x-crypto": xCrypto, "acmez": throughAcmez, "certmagic": throughCertmagic, "lego": throughLego,
	}
	libraries[os.Args[1]](ctx, j)
}

// cert-manager's way with Go's own library: an RSA key, two identical orders at once, finalize sent again.
func xCrypto(ctx context.Context, j job) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	client := &goacme.Client{Key: key, DirectoryURL: j.directory, HTTPClient: j.client}
	account := &goacme.Account{Contact: []string{"mailto:go@example.org"}}
	_, err = client.Register(ctx, account, goacme.AcceptTOS)
	must(err)
	if _, err = client.Register(ctx, account, goacme.AcceptTOS); !errors.Is(err, goacme.ErrAccountAlreadyExists) {
		log.Fatalf("a second registration: %v", err)
	}
	opened := make(chan *goacme.Order, 2)
	for range 2 {
		go func() {
			order, err := client.AuthorizeOrder(ctx, goacme.DomainIDs(j.name))
			must(err)
			opened <- order
		}()
	}
	files := []string{"first.pem", "second.pem"}
	var last [][]byte
	for _, file := range files {
		order := <-opened
		for _, url := range order.AuthzURLs {
			authorization, err := client.GetAuthorization(ctx, url)
			must(err)
			if authorization.Status == goacme.StatusValid {
				continue
			}
			for _, challenge := range authorization.Challenges {
				if challenge.Type != "http-01" {
					continue
				}
				proof, err := client.HTTP01ChallengeResponse(challenge.Token)
				must(err)
				must(os.WriteFile(filepath.Join(j.webroot, client.HTTP01ChallengePath(challenge.Token)), []byte(proof), 0o644))
				_, err = client.Accept(ctx, challenge)
				must(err)
			}
			_, err = client.WaitAuthorization(ctx, url)
			must(err)
		}
		order, err := client.WaitOrder(ctx, order.URI)
		must(err)
		request, _ := request(j.name)
		chain, url, err := client.CreateOrderCert(ctx, order.FinalizeURL, request.Raw, true)
		must(err)
		again, err := client.FetchCert(ctx, url, true)
		must(err)
		if len(again) != len(chain) || string(again[0]) != string(chain[0]) {
			log.Fatal("fetched again, it is another chain")
		}
		// cert-manager finalizes again where it did not store the certificate in time.
		repeated, _, err := client.CreateOrderCert(ctx, order.FinalizeURL, request.Raw, true)
		must(err)
		if string(repeated[0]) != string(chain[0]) {
			log.Fatal("finalized again, it is another certificate")
		}
		if _, err = client.ListCertAlternates(ctx, url); err != nil {
			log.Fatalf("alternates: %v", err)
		}
		write(file, chain)
		last = chain
	}
	must(client.AccountKeyRollover(ctx, ec()))
	must(client.RevokeCert(ctx, nil, last[0], goacme.CRLReasonSuperseded))
	must(client.DeactivateReg(ctx))
}

type files struct{ webroot string }

func (f files) Present(_ context.Context, challenge acme.Challenge) error {
	return os.WriteFile(filepath.Join(f.webroot, challenge.HTTP01ResourcePath()), []byte(challenge.KeyAuthorization), 0o644)
}

func (f files) CleanUp(_ context.Context, challenge acme.Challenge) error {
	return os.Remove(filepath.Join(f.webroot, challenge.HTTP01ResourcePath()))
}

// acmez, with the renewal information read and the order saying what it replaces.
func throughAcmez(ctx context.Context, j job) {
	client := acmez.Client{
		Client:           &acme.Client{Directory: j.directory, HTTPClient: j.client},
		ChallengeSolvers: map[string]acmez.Solver{acme.ChallengeTypeHTTP01: files{j.webroot}},
	}
	account, err := client.NewAccount(ctx, acme.Account{
		Contact: []string{"mailto:acmez@example.org"}, TermsOfServiceAgreed: true, PrivateKey: ec(),
	})
	must(err)
	var leaf *x509.Certificate
	for _, file := range []string{"first.pem", "second.pem"} {
		request, _ := request(j.name)
		parameters, err := acmez.OrderParametersFromCSR(account, request)
		must(err)
		if leaf != nil {
			information, err := client.GetRenewalInfo(ctx, leaf)
			must(err)
			if !information.SuggestedWindow.End.After(time.Now()) {
				log.Fatal("a window that is over")
			}
			parameters.Replaces = leaf
		}
		found, err := client.ObtainCertificate(ctx, parameters)
		must(err)
		must(os.WriteFile(file, found[0].ChainPEM, 0o600))
		block, _ := pem.Decode(found[0].ChainPEM)
		leaf, err = x509.ParseCertificate(block.Bytes)
		must(err)
	}
	account, err = client.AccountKeyRollover(ctx, account, ec())
	must(err)
	must(client.RevokeCertificate(ctx, account, leaf, nil, acme.ReasonSuperseded))
	account.Status = "deactivated"
	_, err = client.UpdateAccount(ctx, account)
	must(err)
}

// CertMagic, the heart of newer Caddys, by tls-alpn-01.
func throughCertmagic(ctx context.Context, j job) {
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
		Logger:           zap.NewNop(),
	})
	defer cache.Stop()
	storage := &certmagic.FileStorage{Path: "storage"}
	logger := zap.Must(zap.NewDevelopment())
	config = certmagic.New(cache, certmagic.Config{Storage: storage, Logger: logger})
	issuer := certmagic.NewACMEIssuer(config, certmagic.ACMEIssuer{
		CA: j.directory, Email: "certmagic@example.org", Agreed: true, TrustedRoots: j.roots, ListenHost: "127.0.0.1",
		AltTLSALPNPort: j.alpnPort, DisableHTTPChallenge: true, Logger: logger,
	})
	config.Issuers = []certmagic.Issuer{issuer}
	held := certmagic.StorageKeys.SiteCert(issuer.IssuerKey(), j.name)
	must(config.ObtainCertSync(ctx, j.name))
	keep(ctx, storage, held, "first.pem")
	must(config.RenewCertSync(ctx, j.name, true))
	keep(ctx, storage, held, "second.pem")
	must(config.RevokeCert(ctx, j.name, acme.ReasonSuperseded, false))
}

func keep(ctx context.Context, storage certmagic.Storage, key, file string) {
	chain, err := storage.Load(ctx, key)
	must(err)
	must(os.WriteFile(file, chain, 0o600))
}

type user struct {
	key     crypto.Signer
	account *legoacme.ExtendedAccount
}

func (u *user) GetEmail() string                           { return "lego@example.org" }
func (u *user) GetRegistration() *legoacme.ExtendedAccount { return u.account }
func (u *user) GetPrivateKey() crypto.Signer               { return u.key }

// lego 5 as Traefik uses it: a library, with an RSA key of 4096 bits by default.
func throughLego(ctx context.Context, j job) {
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	must(err)
	who := &user{key: key}
	config := lego.NewConfig(who)
	config.CADirURL, config.HTTPClient, config.UserAgent = j.directory, j.client, "containous-traefik/3"
	client, err := lego.NewClient(config)
	must(err)
	who.account, err = client.Registration.Register(ctx, registration.RegisterOptions{TermsOfServiceAgreed: true})
	must(err)
	provider, err := webroot.NewHTTPProvider(j.webroot)
	must(err)
	must(client.Challenge.SetHTTP01Provider(provider))
	held, err := client.Certificate.Obtain(ctx, certificate.ObtainRequest{
		Domains: []string{j.name}, Bundle: true, KeyType: certcrypto.RSA4096,
	})
	must(err)
	must(os.WriteFile("first.pem", held.Certificate, 0o600))
	leaf, err := certcrypto.ParsePEMCertificate(held.Certificate)
	must(err)
	window, err := client.Certificate.GetRenewalInfo(ctx, leaf)
	must(err)
	if window.ShouldRenewAt(time.Now(), 0) != nil {
		log.Fatal("a new certificate is to be renewed at once")
	}
	held, err = client.Certificate.Renew(ctx, *held, &certificate.RenewOptions{
		Bundle: true, UseARICertID: true, AlwaysDeactivateAuthorizations: true,
	})
	must(err)
	must(os.WriteFile("second.pem", held.Certificate, 0o600))
	must(client.Registration.KeyRollover(ctx, ec()))
	superseded := uint(4)
	must(client.Certificate.RevokeWithReason(ctx, held.Certificate, &superseded))
	must(client.Registration.DeleteRegistration(ctx))
}

func ec() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return key
}

func request(name string) (*x509.CertificateRequest, crypto.Signer) {
	key := ec()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key)
	must(err)
	made, err := x509.ParseCertificateRequest(der)
	must(err)
	return made, key
}

func write(file string, chain [][]byte) {
	var text []byte
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	must(os.WriteFile(file, text, 0o600))
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("%v", err))
	}
}
