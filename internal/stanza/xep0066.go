package stanza

const nsOOB = "jabber:x:oob" // XEP-0066 section 3

func (p *parser) openOOB(local []byte) role {
	if string(local) != "x" {
		return ignored
	}
	p.file = File{}
	return inOOB
}

func (p *parser) oobChild(local []byte) role {
	if p.space == spaceOOB {
		switch string(local) {
		case "url":
			return p.gather(inURL)
		case "desc":
			return p.gather(inDesc)
		}
	}
	return ignored
}

// closeOOB leaves out a file without address: XEP-0066 section 3 demands <url/>.
func (p *parser) closeOOB() {
	if p.file.URL != "" {
		p.m.Files = append(p.m.Files, p.file)
	}
}
