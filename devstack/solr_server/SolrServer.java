import org.apache.solr.embedded.JettyConfig;
import org.apache.solr.embedded.JettySolrRunner;

/** Runs Solr at /solr on a port of loopback: SolrServer HOME PORT. */
public class SolrServer {
    public static void main(String[] args) throws Exception {
        JettyConfig config =
            JettyConfig.builder().setContext("/solr").setPort(Integer.parseInt(args[1])).stopAtShutdown(true).build();
        JettySolrRunner server = new JettySolrRunner(args[0], config);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                server.stop();
            } catch (Exception failure) {
                System.err.println("Solr did not stop cleanly: " + failure);
            }
        }));
        server.start();
        Thread.currentThread().join();
    }
}
