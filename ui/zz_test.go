package ui_test
import ("testing";"time";"context";"os";"net";"github.com/chromedp/chromedp";"github.com/livedb/livedb/internal/kafka";"github.com/livedb/livedb/ui")
func TestZZ(t *testing.T){
	_, brokers := newKafka(t)
	l,_ := net.Listen("tcp","127.0.0.1:0")
	go ui.Run(context.Background(), ui.Config{Kafka: kafka.Config{Brokers: brokers}, Prefix: "livedb", Listener: l, Dir: os.Getenv("ZZ")})
	time.Sleep(time.Second)
	b := newTab(t, 1440, 900)
	ctx, c := context.WithTimeout(b.ctx, 4*time.Second)
	defer c()
	t.Log(chromedp.Do(ctx, chromedp.Navigate("http://"+l.Addr().String()+"/")))
	os.Exit(0)
}
