import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's console tools one after the other in one JVM, for starting one each takes longer than
 * the tools. usage: Tools FILE; each line of FILE is a title, a class and its arguments, with tabs
 * between. Prints "== title" and what the tool says, on both its outputs, and how it ended.
 */
public final class Tools {
    private static final class Ended extends RuntimeException {
        final int status;

        Ended(int status) {
            this.status = status;
        }
    }

    private static int run(String name, String[] arguments) throws Exception {
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return 0;
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof Ended)
                return ((Ended) e.getCause()).status;
            e.getCause().printStackTrace();
            return 100;
        }
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = System.out;
        int[] first = {-1}; // what a tool ends with counts, not what follows from our exception
        Exit.Procedure end = (status, message) -> {
            first[0] = first[0] < 0 ? status : first[0];
            throw new Ended(first[0]);
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        ByteArrayOutputStream said = new ByteArrayOutputStream(); // one for all: some keep it
        PrintStream both = new PrintStream(said, true, StandardCharsets.UTF_8);
        System.setOut(both);
        System.setErr(both);
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] words = line.split("\t");
            String[] rest = new String[words.length - 2];
            System.arraycopy(words, 2, rest, 0, rest.length);
            said.reset();
            first[0] = -1;
            int status = run(words[1], rest);
            out.println("== " + words[0]);
            out.print(said.toString(StandardCharsets.UTF_8));
            out.println("-> " + (first[0] < 0 ? status : first[0]));
        }
        out.flush();
        Runtime.getRuntime().halt(0);
    }
}
