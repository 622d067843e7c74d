package bacpac

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"strconv"
	"time"
)

// errValue is a value that its type cannot have. It costs the row, and not
// what follows.
var errValue = errors.New("the value is not one of its type")

// Days between the epochs of SQL Server's types and the one of package time.
var (
	year1    = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	year1900 = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
)

// appendValue appends a value that is not text, as text.
func appendValue(dst []byte, f *field, b []byte) ([]byte, error) {
	switch f.kind {
	case kindInt:
		return strconv.AppendInt(dst, integer(b), 10), nil
	case kindBit:
		if b[0] > 1 {
			return dst, errValue
		}
		return append(dst, '0'+b[0]), nil
	case kindFloat:
		if len(b) == 4 {
			return strconv.AppendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 'g', -1, 32), nil
		}
		return strconv.AppendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)), 'g', -1, 64), nil
	case kindMoney:
		return appendMoney(dst, b), nil
	case kindDecimal:
		return appendDecimal(dst, b)
	case kindGUID:
		return appendGUID(dst, b), nil
	case kindBinary:
		return appendHex(append(dst, "0x"...), b), nil
	}
	return appendTime(dst, f, b)
}

// integer reads a little-endian integer; tinyint alone has no sign.
func integer(b []byte) int64 {
	switch len(b) {
	case 1:
		return int64(b[0])
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(b)))
	}
	return int64(binary.LittleEndian.Uint64(b))
}

// unsigned reads a little-endian number of up to eight bytes.
func unsigned(b []byte) (n uint64) {
	for i, x := range b {
		n |= uint64(x) << (8 * i)
	}
	return n
}

// appendMoney: ten-thousandths; money is the high half first, both halves
// little-endian (MS-TDS 2.2.5.5.1).
func appendMoney(dst, b []byte) []byte {
	n := integer(b[:4])
	if len(b) == 8 {
		n = n<<32 | int64(binary.LittleEndian.Uint32(b[4:]))
	}
	return appendScaled(dst, big.NewInt(n), 4)
}

// appendDecimal: precision, scale, 1 for plus or 0 for minus, and the digits as
// a little-endian number (SQL_NUMERIC_STRUCT of ODBC).
func appendDecimal(dst, b []byte) ([]byte, error) {
	if len(b) < 4 || b[0] == 0 || b[0] > 38 || b[1] > b[0] || b[2] > 1 {
		return dst, errValue
	}
	n := new(big.Int)
	digits := bytes.Clone(b[3:])
	for i, j := 0, len(digits)-1; i < j; i, j = i+1, j-1 {
		digits[i], digits[j] = digits[j], digits[i]
	}
	if n.SetBytes(digits); b[2] == 0 {
		n.Neg(n)
	}
	return appendScaled(dst, n, int(b[1])), nil
}

// appendScaled writes n / 10^scale.
func appendScaled(dst []byte, n *big.Int, scale int) []byte {
	if n.Sign() < 0 {
		dst = append(dst, '-')
	}
	digits := new(big.Int).Abs(n).String()
	for len(digits) <= scale {
		digits = "0" + digits
	}
	whole := len(digits) - scale
	dst = append(dst, digits[:whole]...)
	if scale > 0 {
		dst = append(append(dst, '.'), digits[whole:]...)
	}
	return dst
}

// appendGUID: the first three groups are little-endian.
func appendGUID(dst, b []byte) []byte {
	order := [16]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]}
	copy(order[8:], b[8:])
	for i, group := range [][]byte{order[:4], order[4:6], order[6:8], order[8:10], order[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = appendHex(dst, group)
	}
	return dst
}

func appendHex(dst, b []byte) []byte {
	from := len(dst)
	dst = hex.AppendEncode(dst, b)
	copy(dst[from:], bytes.ToUpper(dst[from:]))
	return dst
}

// appendTime writes a date, a time of day or both, UTC. The new types lie in
// the file in units of 100 ns whatever their scale ("Bulk copy changes for
// enhanced date and time types": bcp files do not store the scale).
func appendTime(dst []byte, f *field, b []byte) ([]byte, error) {
	day, clock := year1, time.Duration(0)
	days := int64(0)
	decimals := f.scale
	switch f.kind {
	case kindDateTime: // days since 1900, then 1/300 seconds, shown rounded to milliseconds as SQL Server does
		day, days = year1900, integer(b[:4])
		ticks := int64(binary.LittleEndian.Uint32(b[4:]))
		clock, decimals = time.Duration((ticks*10+1)/3)*time.Millisecond, 3
		if ticks >= 24*60*60*300 {
			return dst, errValue
		}
	case kindSmallDateTime: // days since 1900, then minutes
		day, days = year1900, int64(binary.LittleEndian.Uint16(b))
		clock, decimals = time.Duration(binary.LittleEndian.Uint16(b[2:]))*time.Minute, 3
	case kindDate:
		days = int64(unsigned(b))
	default: // time, then days since the year 1, then the zone's minutes, in which the time is not
		clock = time.Duration(unsigned(b[:5])) * 100
		if len(b) >= 8 {
			days = int64(unsigned(b[5:8]))
			decimals = max(decimals, 3)
		}
	}
	if clock >= 24*time.Hour || days < -53690 || days > 3652058 { // 1753-01-01 for datetime
		return dst, errValue
	}
	t := day.AddDate(0, 0, int(days))
	if t.Year() < 1 || t.Year() > 9999 {
		return dst, errValue
	}
	if f.kind != kindTime {
		dst = t.AppendFormat(dst, time.DateOnly)
		if f.kind == kindDate {
			return dst, nil
		}
		dst = append(dst, ' ')
	}
	seconds := int(clock / time.Second)
	dst = appendDigits(dst, seconds/3600, 2)
	dst = appendDigits(append(dst, ':'), seconds/60%60, 2)
	dst = appendDigits(append(dst, ':'), seconds%60, 2)
	if decimals == 0 && clock%time.Second == 0 {
		return dst, nil
	}
	dst = appendDigits(append(dst, '.'), int(clock%time.Second/100), 7)
	for cut := decimals - 7; cut < 0 && dst[len(dst)-1] == '0'; cut++ {
		dst = dst[:len(dst)-1]
	}
	return dst, nil
}

// appendDigits writes n with as many digits as told.
func appendDigits(dst []byte, n, digits int) []byte {
	from := len(dst)
	dst = append(dst, "0000000"[:digits]...)
	for i := len(dst) - 1; i >= from; i-- {
		dst[i] = '0' + byte(n%10)
		n /= 10
	}
	return dst
}
